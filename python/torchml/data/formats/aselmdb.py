"""ASE's databases in LMDB files (.aselmdb), as fairchem distributes data sets.

Each row is JSON of ASE, compressed by zlib, under its number; `nextid` and `deleted_ids` give the
numbers that exist. The format is that of the package ase-db-backends 0.11.0.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import all_properties
from ase.db.row import AtomsRow
from ase.io.jsonio import decode

from torchml.data.atoms import from_atoms, labels_of, lift_user_values
from torchml.data.configuration import Configuration
from torchml.data.formats.lmdb_file import LmdbFile
from torchml.data.keys import Keys, collect
from torchml.data.sequences import LazyConfigurations
from torchml.errors import DataError, FileError

_OTHERS = (b"nextid", b"deleted_ids", b"metadata")  # keys that are no rows


class AseLmdbConfigurations(LazyConfigurations):
    """The rows of a file, each read on demand."""

    def __init__(self, path: Path, keys: Keys, names: dict[str, str]) -> None:
        self.path = path
        self.keys = keys
        self._file = LmdbFile(path)
        self._ids = self._find_ids()
        if not self._ids:
            raise DataError(f"{path} is empty, expected rows in a database of ASE")
        collect(names, *labels_of(self._atoms(0)))

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, index: int) -> Configuration:
        return from_atoms(self._atoms(index), self.keys, str(self.path), index)

    def _find_ids(self) -> list[int]:
        """The numbers of the rows; no row is read."""
        with self._file.transaction() as transaction:
            following = self._decoded(transaction, b"nextid") or 1
            deleted = self._decoded(transaction, b"deleted_ids")
            others = sum(transaction.get(key) is not None for key in _OTHERS)
            rows = transaction.stat()["entries"] - others
        gone = set() if deleted is None else set(np.ravel(deleted).tolist())
        ids = [number for number in range(1, following) if number not in gone]
        if len(ids) != rows:
            raise DataError(
                f"{self.path} has {rows} rows and announces {len(ids)}, expected equal numbers"
            )
        return ids

    def _atoms(self, index: int) -> Any:
        with self._file.transaction() as transaction:
            row = self._decoded(transaction, b"%d" % self._ids[index])
        where = f"{self.path}, configuration {index}"
        if not isinstance(row, dict):
            raise DataError(f"{where}: row {self._ids[index]} is missing")
        for name in all_properties:
            if isinstance(row.get(name), list):
                row[name] = np.array(row[name])
        try:
            atoms = AtomsRow({**row, "id": self._ids[index]}).toatoms(
                add_additional_information=True
            )
        except Exception as error:  # rows that lack what a structure needs
            raise FileError(f"{where} cannot be read: {type(error).__name__}: {error}") from None
        lift_user_values(atoms)
        return atoms

    def _decoded(self, transaction: Any, key: bytes) -> Any:
        data = transaction.get(key)
        if data is None:
            return None
        try:
            return decode(zlib.decompress(data).decode())
        except (zlib.error, ValueError, TypeError, KeyError) as error:
            raise FileError(
                f"{self.path}, key '{key.decode()}' cannot be read: {type(error).__name__}: {error}"
            ) from None
