"""The results of finished structures, one line each, from which a restart continues.

A line is complete when its newline is there. A process that is killed while it writes leaves an
incomplete last line, which is removed at the next start.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase import Atoms

from torchml.errors import DataError, FileError
from torchml.inference.evaluation import Evaluation
from torchml.relaxation.coordinates import fixed_atoms
from torchml.relaxation.results import Frame, Relaxed

_FIELDS = ("id", "state", "reason", "steps", "seconds", "energies", "fmaxes")
_ARRAYS = ("positions", "cell", "forces", "stress")
_NEEDED = {*_FIELDS, *_ARRAYS, "energy", "structure"}


def journal_path(folder: Path, rank: int) -> Path:
    """Return the journal of a rank."""
    return folder / f"results_{rank}.jsonl"


class Journal:
    """The journal of one rank, open for new results.

    Args:
        path: of the file, which is made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab")
        _lock(self._file, path)
        content = path.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)

    def add(self, relaxed: Relaxed, structure: str) -> None:
        """Append a result; it is on disk when this returns.

        Args:
            relaxed: the result.
            structure: digest of the structure at the start.
        """
        line = json.dumps(_record(relaxed, structure)) + "\n"
        self._file.write(line.encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _lock(file: IO[bytes], path: Path) -> None:
    """Keep other processes from the file until it is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileError(
            f"{path} is in use by another process, expected a folder of its own for each relaxation"
        ) from None
    except OSError:
        return  # a file system without locks


def read_journals(folder: Path) -> dict[int, dict[str, dict[str, Any]]]:
    """Read the records of all ranks.

    A structure that failed and was tried again has its last record.

    Returns:
        By rank, then by id.

    Raises:
        FileError: a complete line is no record.
    """
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.glob("results_*.jsonl")):
        if (rank := path.stem.removeprefix("results_")).isdigit():
            found[int(rank)] = {record["id"]: record for record in _read(path)}
    return dict(sorted(found.items()))


def joined(journals: Mapping[int, Mapping[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the records of all ranks by id; of a structure that was tried twice, the better."""
    records: dict[str, dict[str, Any]] = {}
    for part in journals.values():
        for id, record in part.items():
            if id not in records or record["state"] != "failed":
                records[id] = record
    return records


def _read(path: Path) -> list[dict[str, Any]]:
    records = []
    complete, _, _ = path.read_bytes().rpartition(b"\n")
    for number, line in enumerate(complete.split(b"\n") if complete else [], start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not record.keys() >= _NEEDED:
            raise FileError(
                f"{path}, line {number} is no complete result of a relaxation, expected the lines "
                "that torchml relax writes; without this line its structure is relaxed again"
            )
        records.append(record)
    return records


def restored(record: Mapping[str, Any], atoms: Atoms) -> Relaxed:
    """Return the result of a record.

    Args:
        record: of a journal.
        atoms: the structure at the start.

    Raises:
        DataError: the record is of another structure with this id.
    """
    if record["structure"] != digest(atoms):
        raise DataError(
            f"the structure '{record['id']}' is another one than the result in the output folder "
            "is of, expected the same data, or another folder"
        )
    end = atoms.copy()
    arrays: dict[str, Any] = {
        name: None if record[name] is None else np.array(record[name], dtype=np.float64)
        for name in _ARRAYS
    }
    if record["energy"] is not None:
        evaluation = Evaluation(
            energy=record["energy"], forces=arrays["forces"], stress=arrays["stress"]
        )
        Frame(arrays["positions"], arrays["cell"], evaluation).put_into(end)
    fields = {name: record[name] for name in _FIELDS}
    fields |= {name: tuple(record[name]) for name in ("energies", "fmaxes")}
    return Relaxed(atoms=end, **fields)


def digest(atoms: Atoms) -> str:
    """Return a text that differs for different structures."""
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, fixed_atoms(atoms))
    state = hashlib.sha256()
    for array in arrays:
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def _record(relaxed: Relaxed, structure: str) -> dict[str, Any]:
    results = {} if relaxed.atoms.calc is None else relaxed.atoms.calc.results
    arrays = {
        "positions": relaxed.atoms.positions,
        "cell": relaxed.atoms.cell.array,
        "forces": results.get("forces"),
        "stress": results.get("stress"),
    }
    return {
        **{name: getattr(relaxed, name) for name in _FIELDS},
        **{name: None if array is None else array.tolist() for name, array in arrays.items()},
        "energy": results.get("energy"),
        "structure": structure,
    }
