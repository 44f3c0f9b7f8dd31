"""The results of a prediction that is not complete, in a folder beside its output.

Each rank appends what it computed to a file of its own, in records with a checksum. A process that
is killed leaves complete records and at most one that is cut short, which is computed again. Files
are the only connection of the ranks: locks, which end with their processes, show who runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchml.data.notices import notify
from torchml.data.ranks import Ranks
from torchml.errors import FileError
from torchml.evaluation.predictions import Predictions

_HEAD = struct.Struct("<4sQI")  # mark, length and CRC-32 of the record that follows
_MARK = b"TMLR"
_RUN = "run.json"
_POLL = 0.05  # s between two looks at the other ranks
_PATIENCE = 600.0  # s until a rank that never started is an error
_CONTENTION = 3.0  # s during which a lock may be held by a rank that only looks


class WorkFolder:
    """`with WorkFolder(output, run, ranks) as work`: results of this run and of those before it.

    Args:
        output: the file that the run writes; the folder is `OUTPUT.work`.
        run: what the results depend on, by its noun: model, data set, ...
        ranks: rank of this process.

    Raises:
        FileError: the folder cannot be written, is damaged, holds results of another model, data
            set or options, or is in use.
    """

    def __init__(self, output: Path, run: Mapping[str, str], ranks: Ranks) -> None:
        self.folder = output.with_name(f"{output.name}.work")
        self._run = dict(run)
        self._ranks = ranks
        self._own: BinaryIO | None = None
        self._own_lock: BinaryIO | None = None
        self._seen: dict[Path, int] = {}  # how far files were read
        self._done: set[int] = set()

    def __enter__(self) -> Self:
        try:
            self._check_output_folder()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._create_or_compare()
            self._own_lock = self._lock_of(self._ranks.rank).open("ab")
            self._own = self._path(self._ranks.rank).open("ab")
        except OSError as error:
            raise FileError(
                f"{self.folder} cannot be written: {error.strerror}, expected a folder for the "
                "results"
            ) from None
        self._lock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self._ranks.size == 1 and not self._has_results():
            self.remove()  # nothing is lost
        for file in (self._own, self._own_lock):
            if file is not None:
                file.close()  # which ends the lock, too

    # --- Results --------------------------------------------------------------------------------

    def begin(self, total: int) -> NDArray[np.bool_]:
        """Return which structures have results; a record that was cut short is removed.

        Args:
            total: number of structures.
        """
        done = np.zeros(total, dtype=bool)
        for path in self._files():
            records, end = _read(path)
            if path == self._path(self._ranks.rank):
                self._cut(path, end)
            for record in records:
                done[_places(record)] = True
        return done

    def append(self, places: ArrayLike, predictions: Predictions) -> None:
        """Add the results of structures at some places of the data set, int[n]."""
        assert self._own is not None
        places = np.asarray(places, dtype="<i8")
        record = struct.pack("<q", len(places)) + places.tobytes() + predictions.to_bytes()
        head = _HEAD.pack(_MARK, len(record), zlib.crc32(record))
        try:
            self._own.write(head + record)
            self._own.flush()
        except OSError as error:
            raise FileError(
                f"{self._own.name} cannot be written: {error.strerror}, expected room for the "
                "results; what is written is kept"
            ) from None

    def results(self) -> Predictions:
        """Return all results in the order of the data set, each structure once."""
        parts, places = [], []
        for path in self._files():
            for record in _read(path)[0]:
                places.append(_places(record))
                parts.append(Predictions.from_bytes(record[8 + 8 * len(places[-1]) :]))
        _, first = np.unique(np.concatenate(places), return_index=True)
        return Predictions.join(parts).take(first)

    # --- Other ranks ----------------------------------------------------------------------------

    def wait_for_all(self, total: int) -> None:
        """Return when all ranks are here and all results are written; for rank 0.

        Raises:
            FileError: a rank ended before, or never started.
        """
        arrived = {self._ranks.rank}
        start = time.monotonic()
        while True:
            gone = set()
            for rank in set(range(self._ranks.size)) - {self._ranks.rank}:
                if self._is_locked(rank):
                    arrived.add(rank)
                elif rank in arrived:
                    gone.add(rank)
            if not gone and len(arrived) == self._ranks.size and self._is_complete(total):
                return
            if gone:
                raise FileError(
                    f"rank {min(gone)} ended before its results were complete; what is in "
                    f"{self.folder} is kept, and the same command continues"
                )
            if len(arrived) < self._ranks.size and time.monotonic() - start > _PATIENCE:
                missing = min(set(range(self._ranks.size)) - arrived)
                raise FileError(
                    f"rank {missing} did not use {self.folder} within {_PATIENCE:.0f} s, expected "
                    "all ranks to see the same folder"
                )
            time.sleep(_POLL)

    def wait_for_end(self) -> None:
        """Return when rank 0 has removed the folder; for the other ranks.

        Raises:
            FileError: rank 0 ended without that.
        """
        here = False
        start = time.monotonic()
        while (self.folder / _RUN).exists():
            locked = self._is_locked(0)
            here = here or locked
            late = time.monotonic() - start > _PATIENCE
            if (here and not locked and (self.folder / _RUN).exists()) or (late and not here):
                raise FileError(f"rank 0 ended before it wrote the results of {self.folder}")
            time.sleep(_POLL)

    def remove(self) -> None:
        """Delete the folder; for rank 0.

        Results go first, and must not outlive the description of their run; the lock goes last,
        and its absence shows other ranks that this one ended.
        """
        for path in self._files():
            path.unlink(missing_ok=True)
        (self.folder / _RUN).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- Files ----------------------------------------------------------------------------------

    def _check_output_folder(self) -> None:
        """Try to make a file where the output will be."""
        parent = self.folder.parent
        if parent.exists() and not parent.is_dir():
            raise FileError(f"{parent} is a file, expected a folder for the output")
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=parent):
            pass

    def _create_or_compare(self) -> None:
        """Write what the results depend on; if it is there, it must be the same."""
        file = self.folder / _RUN
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".run.") as scratch:
            written = Path(scratch) / _RUN
            written.write_text(json.dumps(self._run, indent=1))
            try:
                os.link(written, file)  # unlike a renaming, this keeps what another rank wrote
            except FileExistsError:
                self._compare()
            except OSError:  # a file system without links
                if file.exists():
                    self._compare()
                else:
                    os.replace(written, file)

    def _compare(self) -> None:
        file = self.folder / _RUN
        try:
            before = json.loads(file.read_text())
            known = {name: before[name] for name in self._run}
        except (ValueError, KeyError, TypeError):
            raise FileError(
                f"{file} is damaged, expected the description of a run: remove {self.folder} to "
                "compute everything again"
            ) from None
        other = next((name for name, value in self._run.items() if known[name] != value), None)
        if other is not None:
            raise FileError(
                f"{self.folder} holds results of another {other}, expected those of this run: "
                "remove it, or choose another output"
            )

    def _lock(self) -> None:
        """Lock the file of this rank; a rank that looks at it may hold the lock for a moment."""
        assert self._own_lock is not None
        end = time.monotonic() + _CONTENTION
        while not _try_lock(self._own_lock, fcntl.LOCK_EX):
            if time.monotonic() > end:
                raise FileError(
                    f"{self.folder} is in use by another run, expected one at a time for an output"
                )
            time.sleep(_POLL)

    def _is_locked(self, rank: int) -> bool:
        try:
            with self._lock_of(rank).open("rb") as file:
                return not _try_lock(file, fcntl.LOCK_SH)
        except FileNotFoundError:
            return False

    def _is_complete(self, total: int) -> bool:
        for path in self._files():
            records, self._seen[path] = _read(path, self._seen.get(path, 0))
            for record in records:
                self._done.update(_places(record).tolist())
        return len(self._done) == total

    def _cut(self, path: Path, end: int) -> None:
        if path.stat().st_size > end:
            notify(f"{path}: the last results were not written completely, and are computed again")
            os.truncate(path, end)

    def _path(self, rank: int) -> Path:
        return self.folder / f"rank-{rank}.results"

    def _lock_of(self, rank: int) -> Path:
        return self.folder / f"rank-{rank}.lock"

    def _has_results(self) -> bool:
        return any(path.stat().st_size for path in self._files())

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("rank-*.results"))


def _try_lock(file: BinaryIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _places(record: bytes) -> NDArray[np.int64]:
    (count,) = struct.unpack_from("<q", record)
    return np.frombuffer(record, dtype="<i8", count=count, offset=8).astype(np.int64)


def _read(path: Path, begin: int = 0) -> tuple[list[bytes], int]:
    """Return the complete records of a file from a place on, and the place where they end.

    Raises:
        FileError: a record in the middle is damaged.
    """
    with path.open("rb") as file:
        file.seek(begin)
        content = file.read()
    records = []
    place = 0
    while len(content) - place >= _HEAD.size:
        mark, length, checksum = _HEAD.unpack_from(content, place)
        end = place + _HEAD.size + length
        if mark == _MARK and end > len(content):
            break
        record = content[place + _HEAD.size : end]
        if mark != _MARK or zlib.crc32(record) != checksum:
            raise FileError(
                f"{path} is damaged at byte {begin + place}, expected results with their "
                f"checksum: remove {path.parent} to compute everything again"
            )
        records.append(record)
        place = end
    return records, begin + place
