"""ASE's databases in LMDB files (.aselmdb), as fairchem distributes data sets.

Each row is JSON of ASE, compressed by zlib, under its number; `nextid` and `deleted_ids` give the
numbers that exist. The format is that of the package ase-db-backends 0.11.0, which reads what is
written here.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import all_properties
from ase.constraints import dict2constraint
from ase.db.core import now
from ase.io.jsonio import decode, encode, numpyfy, object_hook

from torchml.data.atoms import PER_ATOM, fixed_by, other_constraint
from torchml.data.checks import structure_digest
from torchml.data.configuration import Configuration
from torchml.data.extras import extras_of
from torchml.data.formats.lmdb_file import LmdbFile
from torchml.data.formats.unpacking import inflated
from torchml.data.keys import Keys, collect
from torchml.data.labels import configuration_of
from torchml.data.sequences import LazyConfigurations
from torchml.errors import DataError, FileError, TorchMLError

# As ASE's own, but for whole numbers as keys of dictionaries, of which rows have none.
_JSON = json.JSONDecoder(object_hook=object_hook)
_OTHERS = (b"nextid", b"deleted_ids", b"metadata")  # keys that are no rows


class AseLmdbConfigurations(LazyConfigurations):
    """The rows of a file, each read on demand.

    The names of the first row are added to `names`; None leaves that row alone.
    """

    def __init__(self, path: Path, keys: Keys, names: dict[str, str] | None) -> None:
        self.path = path
        self.keys = keys
        self._file = LmdbFile(path)
        self._ids = self._find_ids()
        if not self._ids:
            raise DataError(f"{path} is empty, expected rows in a database of ASE")
        if names is not None:
            collect(names, *_labels_of(self._row(0)))

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, index: int) -> Configuration:
        where = f"{self.path}, configuration {index}"
        row = self._row(index)
        labels, columns = _labels_of(row)
        try:
            constraints = _constraints(row)
            other = other_constraint(constraints)
            configuration = configuration_of(
                row["numbers"],
                row["positions"],
                row.get("cell"),
                row.get("pbc", False),
                labels,
                self.keys,
                str(self.path),
                index,
                fixed=fixed_by(constraints, len(row["numbers"])) if constraints else None,
                tags=row.get("tags"),
                columns=columns,
            )
            return configuration if other is None else replace(configuration, constraint=other)
        except TorchMLError:
            raise
        except Exception as error:  # rows that lack what a structure needs
            raise FileError(f"{where} cannot be read: {type(error).__name__}: {error}") from None

    def _find_ids(self) -> Sequence[int]:
        """The numbers of the rows; no row is read."""
        with self._file.transaction() as transaction:
            following = self._decoded(transaction, b"nextid") or 1
            deleted = self._decoded(transaction, b"deleted_ids")
            others = sum(transaction.get(key) is not None for key in _OTHERS)
            rows = transaction.stat()["entries"] - others
        if not isinstance(following, int):
            raise DataError(f"{self.path} has the 'nextid' {following!r:.40}, expected an integer")
        ids = range(1, following)
        gone = set() if deleted is None else {n for n in np.ravel(deleted).tolist() if n in ids}
        # Before the numbers are listed: the file may announce any.
        if (announced := len(ids) - len(gone)) != rows:
            raise DataError(
                f"{self.path} has {rows} rows and announces {announced}, expected equal numbers"
            )
        return [number for number in ids if number not in gone] if gone else ids

    def _row(self, index: int) -> dict[str, Any]:
        with self._file.transaction() as transaction:
            row = self._decoded(transaction, b"%d" % self._ids[index])
        if not isinstance(row, dict):
            raise DataError(
                f"{self.path}, configuration {index}: row {self._ids[index]} is missing"
            )
        return row

    def _decoded(self, transaction: Any, key: bytes) -> Any:
        data = transaction.get(key)
        if data is None:
            return None
        try:
            return numpyfy(_JSON.decode(inflated(data).decode()))
        except (zlib.error, ValueError, TypeError, KeyError, RecursionError) as error:
            raise FileError(
                f"{self.path}, key '{key.decode()}' cannot be read: {type(error).__name__}: {error}"
            ) from None


# Values of atoms, which are columns; the rest of a row are labels of the structure, or structure.
_COLUMNS = ("initial_magmoms", "initial_charges", "masses", "momenta")


def _labels_of(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What may be a label, of the structure and of its atoms: the user's values, and results."""
    labels: dict[str, Any] = {}
    for inner in ("key_value_pairs", "data"):
        if isinstance(row.get(inner), dict):
            labels |= row[inner]
    columns = {name: row[name] for name in _COLUMNS if row.get(name) is not None}
    for name in all_properties:
        if row.get(name) is not None:
            (columns if name in PER_ATOM else labels)[name] = np.asarray(row[name])[()]
    return labels, columns


def _constraints(row: Mapping[str, Any]) -> list[Any]:
    """The constraints of ASE."""
    constraints = row.get("constraints")
    if isinstance(constraints, str):
        constraints = decode(constraints)
    return [dict2constraint(constraint) for constraint in constraints or ()]


def row_of(c: Configuration, number: int, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a configuration, which is the `number`-th of its file.

    Args:
        c: the configuration.
        number: from 1.
        more: weights and targets, which go into `data`.
    """
    name = hashlib.blake2b(structure_digest(c) + b"%d" % number, digest_size=16).hexdigest()
    row: dict[str, Any] = {"numbers": c.numbers, "positions": c.positions}
    row |= {"cell": c.cell, "pbc": c.pbc, "unique_id": name}
    row |= {"ctime": now(), "mtime": now(), "user": "", "tags": c.tags}
    row |= {"energy": c.energy, "forces": c.forces, "stress": c.stress}
    if c.fixed is not None:
        indices = np.flatnonzero(c.fixed).tolist()
        row["constraints"] = [{"name": "FixAtoms", "kwargs": {"indices": indices}}]
    group = {} if c.group is None else {"group": c.group}
    row = {name: value for name, value in row.items() if value is not None}
    return row | {"key_value_pairs": {}, "data": extras_of(c) | group | dict(more)}


def encoded(value: Any) -> bytes:
    """Return a value as it is stored: compressed JSON of ASE."""
    return zlib.compress(encode(value).encode())
