"""Data sets in the format of the Open Catalyst Project: pickled rows in LMDB files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchml.data.configuration import Configuration
from torchml.data.formats.lmdb_file import LmdbFile
from torchml.data.formats.unpickling import fields_of, unpickle
from torchml.data.keys import ALIASES, AUTO, Keys
from torchml.data.labels import configuration_of
from torchml.data.sequences import LazyConfigurations
from torchml.errors import DataError

_NUMBERS = ("atomic_numbers", "numbers", "z")
_POSITIONS = ("pos", "positions", "cart_coords", "coordinates", "coords")
# Fields of rows besides labels; edges are dropped, since every model builds its own.
_STRUCTURE = {"cell", "pbc", "natoms", "tags", "fixed", "edge_index", "cell_offsets", *_POSITIONS}


class LmdbConfigurations(LazyConfigurations):
    """The rows of an LMDB file, each read on demand.

    Rows are pickled mappings or torch_geometric's Data, under the keys "0", "1", ...; a key
    "length" may hold their number. Energies are called y, forces force, as OCP does, or by
    the usual names. The sequence can be handed to other processes, which open the file again.

    The names of the first row are added to `names`; None leaves that row alone.
    """

    def __init__(self, path: Path, keys: Keys, names: dict[str, str] | None) -> None:
        self.path = path
        self.keys = keys
        self._file = LmdbFile(path)
        self._rows = self._find_rows()
        if names is None:
            return
        first = self._fields(0)
        names |= {name: "structure" if name in {*_STRUCTURE, *_NUMBERS} else "" for name in first}
        if (energy := _with_energy(keys, first).energy) != keys.energy and energy in first:
            names[str(energy)] = "energy"

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, index: int) -> Configuration:
        where = f"{self.path}, configuration {index}"
        fields = self._fields(index)
        numbers = _structure(fields, _NUMBERS, where)
        positions = _structure(fields, _POSITIONS, where)
        cell = fields.get("cell")
        labels = {name: value for name, value in fields.items() if name not in _STRUCTURE}
        atoms = np.size(numbers)
        if np.size(positions) != 3 * atoms:
            raise DataError(
                f"{where}: the positions hold {np.size(positions)} numbers for {atoms} atoms, "
                f"expected {3 * atoms}"
            )
        if cell is not None and np.size(cell) != 9:
            raise DataError(f"{where}: cell holds {np.size(cell)} numbers, expected 9")
        cell = None if cell is None else np.reshape(cell, (3, 3))
        pbc = fields.get("pbc")
        if pbc is None:  # OCP leaves it out: what has a cell repeats in all directions
            pbc = cell is not None and bool(np.any(cell))
        return configuration_of(
            np.ravel(numbers),
            np.reshape(positions, (atoms, 3)),
            cell,
            np.ravel(pbc) if np.size(pbc) == 3 else bool(np.all(pbc)),
            labels,
            _with_energy(self.keys, labels),
            str(self.path),
            index,
            fixed=fields.get("fixed"),
            tags=fields.get("tags"),
        )

    def _find_rows(self) -> list[bytes] | _Numbered:
        with self._file.transaction() as transaction:
            length = transaction.get(b"length")
            entries = transaction.stat()["entries"]
            count = entries
            if length is not None:
                count = unpickle(length, f"{self.path}, key 'length'")
                count = int(count) if isinstance(count, int | np.integer | torch.Tensor) else -1
                if not 0 <= count <= entries:
                    raise DataError(
                        f"{self.path} has {entries} entries and a length of {count}, expected "
                        "one entry for each configuration"
                    )
            if count == 0:
                raise DataError(f"{self.path} is empty, expected rows under the keys 0, 1, ...")
            ends = transaction.get(b"0"), transaction.get(b"%d" % (count - 1))
            if None not in ends:
                return _Numbered(count)
            # Other keys may be in between, and numbers left out.
            names = [name for name in transaction.cursor().iternext(values=False)]
        rows = sorted((name for name in names if name.isdigit()), key=int)
        if not rows or (length is not None and len(rows) != count):
            raise DataError(
                f"{self.path} has {len(rows)} rows among its {entries} entries, expected the keys "
                f"0 to {count - 1}"
            )
        return rows

    def _fields(self, index: int) -> dict[str, Any]:
        key = self._rows[index]
        where = f"{self.path}, key '{key.decode()}'"
        with self._file.transaction() as transaction:
            data = transaction.get(key)
        if data is None:
            raise DataError(f"{where} is missing, expected a row for configuration {index}")
        fields = fields_of(unpickle(data, where))
        if fields is None:
            raise DataError(f"{where} holds no named values, expected those of a configuration")
        return {
            name: value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
            for name, value in fields.items()
        }


class _Numbered:
    """The keys "0" to "n-1" of n rows, without a list of them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> bytes:
        return b"%d" % index


def _structure(fields: Mapping[str, Any], names: tuple[str, ...], where: str) -> Any:
    for name in names:
        if name in fields:
            return fields[name]
    there = ", ".join(f"'{name}'" for name in sorted(fields))
    raise DataError(f"{where} has no '{names[0]}', it has {there}")


def _with_energy(keys: Keys, labels: Mapping[str, Any]) -> Keys:
    """OCP's y is an energy where no label has a better name for one."""
    named = any(name.lower() in ALIASES["energy"] for name in labels)
    return replace(keys, energy="y") if keys.energy == AUTO and not named else keys
