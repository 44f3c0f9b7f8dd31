"""Parquet: a row per configuration, with arrays as nested lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from torchml.data.configuration import Configuration
from torchml.data.keys import Keys
from torchml.data.labels import check_named_keys, configuration_of
from torchml.data.progress import track
from torchml.errors import DataError, FileError, TorchMLError

_NUMBERS = ("atomic_numbers", "numbers", "species", "symbols", "z")
_POSITIONS = ("positions", "pos", "coordinates", "coords")
_CELLS = ("cell", "lattice")
_STRUCTURE = {*_NUMBERS, *_POSITIONS, *_CELLS, "pbc", "fixed", "tags"}


def read_parquet(path: Path, keys: Keys, names: dict[str, str]) -> list[Configuration]:
    """Read all rows: columns atomic_numbers, positions, cell, pbc, tags, fixed and the labels.

    Positions and other arrays are lists, nested or flat; cell and pbc are optional.
    """
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        rows = file.metadata.num_rows
        names |= {name: "" for name in file.schema_arrow.names if name not in _STRUCTURE}
        check_named_keys(keys, names, str(path))  # before the rows, which may be many
        configurations = [
            _configuration(row, keys, path, index)
            for index, row in enumerate(track(_rows(file, keys), f"reading {path.name}", rows))
        ]
    except TorchMLError:
        raise
    except Exception as error:  # damaged files lead to errors of Arrow, of text, of memory
        words = " ".join(str(error).split())
        raise FileError(f"{path} cannot be read as parquet: {words}") from None
    if not configurations:
        raise DataError(f"{path} is empty, expected a row for each configuration")
    return configurations


def _rows(file: Any, keys: Keys) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(batch_size=1000):
        columns = {
            # Targets may have any shape, which flat arrays do not show.
            name: column.to_pylist() if name in keys.targets else _arrays(column)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        for index in range(batch.num_rows):
            yield {name: values[index] for name, values in columns.items()}


def _arrays(column: Any) -> list[Any]:
    """One flat array per row of a column of lists, the values themselves of others."""
    if not _is_list(column):
        return list(column.to_pylist())
    filled = column.is_valid().to_numpy(zero_copy_only=False)
    sizes = None
    while _is_list(column):
        lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        if sizes is None:
            sizes = lengths
        else:  # lists of lists: each row holds what its inner lists hold
            ends = np.concatenate([[0], np.cumsum(lengths)])
            starts = np.concatenate([[0], np.cumsum(sizes)])
            sizes = np.diff(ends[starts])
        column = column.flatten()
    assert sizes is not None
    flat = column.to_numpy(zero_copy_only=False)
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [part if valid else None for part, valid in zip(parts, filled, strict=True)]


def _is_list(column: Any) -> bool:
    from pyarrow import types

    kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    return any(kind(column.type) for kind in kinds)


def _configuration(row: dict[str, Any], keys: Keys, path: Path, index: int) -> Configuration:
    where = f"{path}, configuration {index}"
    numbers = _first(row, _NUMBERS)
    positions = _first(row, _POSITIONS)
    cell = _first(row, _CELLS)
    if numbers is None or positions is None:
        missing = _NUMBERS[0] if numbers is None else _POSITIONS[0]
        raise DataError(f"{where} has no '{missing}', it has {', '.join(sorted(row))}")
    for name, value, size in (("positions", positions, 3 * len(numbers)), ("cell", cell, 9)):
        if value is not None and (not isinstance(value, np.ndarray) or value.size != size):
            raise DataError(f"{where}: {name} holds {np.size(value)} numbers, expected {size}")
    if len(numbers) and isinstance(numbers[0], str):
        unknown = [symbol for symbol in numbers if symbol not in atomic_numbers]
        if unknown:
            raise DataError(f"{where}: '{unknown[0]}' is not an element of the periodic table")
        numbers = [atomic_numbers[symbol] for symbol in numbers]
    pbc = row.get("pbc")
    return configuration_of(
        numbers,
        positions.reshape(-1, 3),
        None if cell is None else cell.reshape(3, 3),
        (cell is not None) if pbc is None else pbc,
        {name: value for name, value in row.items() if name not in _STRUCTURE},
        keys,
        str(path),
        index,
        fixed=row.get("fixed"),
        tags=row.get("tags"),
    )


def _first(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)
