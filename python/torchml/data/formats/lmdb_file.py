"""LMDB files: opened for reading once in a process and without a lock file, and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from torchml.errors import DataError, FileError

# One environment per file: LMDB refuses to open one twice in a process. Forked processes use
# those of their parent, which is safe for environments that only read, without a lock file.
_OPEN: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()


class LmdbFile:
    """A file, or the folder of one; other processes that get this object open it again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: Any = None

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Yield a transaction that reads.

        Raises:
            FileError: the file is damaged, or is not of LMDB.
            DataError: the file is empty or cut short.
        """
        import lmdb

        try:
            with self._environment().begin() as transaction:
                yield transaction
        except lmdb.Error as error:
            raise FileError(f"{self.path} cannot be read, it is damaged: {error}") from None

    def _environment(self) -> Any:
        if self._opened is None:
            file = (self.path / "data.mdb" if self.path.is_dir() else self.path).stat()
            if file.st_size == 0:
                raise DataError(f"{self.path} is empty, expected an LMDB file")
            place = file.st_dev, file.st_ino
            self._opened = _OPEN.get(place)
            if self._opened is None:
                self._opened = _OPEN[place] = self._open()
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _open(self) -> Any:
        import lmdb

        try:
            environment = lmdb.open(
                str(self.path),
                subdir=self.path.is_dir(),
                readonly=True,
                lock=False,
                readahead=False,
                meminit=False,
            )
        except lmdb.Error as error:
            raise FileError(f"{self.path} cannot be read as LMDB: {error}") from None
        self._check_size(environment)
        return environment

    def _check_size(self, environment: Any) -> None:
        """Reading pages beyond the end of a file would kill the process, not raise an error."""
        file = self.path / "data.mdb" if self.path.is_dir() else self.path
        expected = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if file.stat().st_size < expected:
            environment.close()
            raise DataError(
                f"{file} has {file.stat().st_size} bytes, expected {expected}: it has been cut "
                "short"
            )


_BATCH = 1 << 24  # bytes of entries that are stored at once


@contextmanager
def writing_lmdb(path: Path) -> Iterator[Callable[[bytes, bytes], None]]:
    """Make a file and yield a function that stores a key and its value; there is no lock file."""
    import lmdb

    environment = lmdb.open(
        str(path), subdir=False, lock=False, map_size=1 << 26, sync=False, meminit=False
    )
    waiting: dict[bytes, bytes] = {}
    size = 0

    def put(key: bytes, value: bytes) -> None:
        nonlocal size
        waiting[key] = value
        size += len(value)
        if size > _BATCH:
            _store(environment, waiting)
            waiting.clear()
            size = 0

    try:
        yield put
        _store(environment, waiting)
        environment.sync(True)
    except lmdb.Error as error:  # the disk is full, or a quota exceeded
        raise FileError(f"{path.name} cannot be written: {error}") from None
    finally:
        environment.close()


def _store(environment: Any, entries: dict[bytes, bytes]) -> None:
    """Store entries; the map, which limits how large the file may get, grows when it is full."""
    import lmdb

    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in entries.items():
                    transaction.put(key, value)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])
