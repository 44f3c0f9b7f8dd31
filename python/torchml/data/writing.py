"""Write configurations into files that this package, ASE and OCP read without loss.

Files are written under another name and then renamed: a crash leaves no half-written file.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.extras import IDS, extras_of
from torchml.data.formats.lmdb_file import writing_lmdb
from torchml.data.formats.sizes import forget_sizes, write_sizes
from torchml.data.keys import RELAXED_POSITIONS, WEIGHTS
from torchml.data.output import written_then_renamed
from torchml.errors import DataError

_TERMS = ("energy", "forces", "stress")
# Names with a meaning in the files; a target must not have them.
_RESERVED = {
    *("lattice", "pbc", "properties", "species", "pos", "move_mask", "tags", "group", "energy"),
    *("forces", "stress", "cell", "natoms"),
    *WEIGHTS,
    *("atomic_numbers", "fixed", "y", "force", "sid", "fid", "positions", "numbers"),
}


def write_extxyz(configurations: Iterable[Configuration], path: str | Path) -> None:
    """Write extended XYZ with all digits.

    It holds energy (eV), forces (eV/Å), stress (eV/Å³), tags, move_mask, group, ids, info, the end
    of a relaxation (y_init, y_relaxed, and the column pos_relaxed) and targets. Targets with a row
    for each atom become columns. Weights other than 1 become energy_weight, forces_weight and
    stress_weight.

    Args:
        configurations: any number.
        path: of the file, which is replaced.
    """
    with written_then_renamed(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for configuration in configurations:
            file.write(_frame(configuration))


def write_lmdb(configurations: Iterable[Configuration], path: str | Path) -> None:
    """Write an LMDB file with rows as OCP has them: pickled mappings of numpy arrays.

    pos [N, 3], cell [1, 3, 3], atomic_numbers [N], natoms, tags, fixed, y, force, sid, fid, y_init,
    y_relaxed and pos_relaxed as in OCP; pbc [3], stress [6], group, info, weights and targets under
    their names; the key `length` holds the number of rows. Positions, cells and labels keep double
    precision. A row without ids gets its number as sid, and fid 0.

    Args:
        configurations: any number.
        path: of the file, which is replaced.
    """
    _write_rows(configurations, path)


def write_lmdb_part(
    configurations: Iterable[Configuration],
    indices: Sequence[int],
    path: str | Path,
    origin: str,
) -> None:
    """Write a part of a data set as `write_lmdb` does, and where its rows come from.

    The keys `origin_file` and `origin_indices` hold the data set and the places in it, pickled, as
    in the sub-splits of the Open MatSci ML toolkit.

    Args:
        configurations: those of the part.
        indices: their places in the data set.
        path: of the file, which is replaced.
        origin: name of the data set.
    """
    _write_rows(configurations, path, {"origin_file": origin, "origin_indices": list(indices)})


def write_aselmdb(configurations: Iterable[Configuration], path: str | Path) -> None:
    """Write a database of ASE in an LMDB file (.aselmdb), and metadata.npz beside it.

    The package ase-db-backends and fairchem read it. `data` of a row holds ids, charge, spin,
    source, group, weights, the end of a relaxation, and targets. metadata.npz holds the number of
    atoms of each row; it describes a whole folder, so there is none where the folder has other
    .aselmdb files.

    Args:
        configurations: any number.
        path: of the file, which is replaced.
    """
    from torchml.data.formats.aselmdb import encoded, row_of

    sizes = []
    with written_then_renamed(path) as temporary:
        with writing_lmdb(temporary) as put:
            for number, c in enumerate(configurations, start=1):
                put(b"%d" % number, encoded(row_of(c, number, _weights(c) | _targets(c))))
                sizes.append(len(c))
            put(b"nextid", encoded(len(sizes) + 1))
            put(b"deleted_ids", encoded([]))
            put(b"metadata", encoded({}))
        forget_sizes(path)
    write_sizes(path, sizes)


def _write_rows(
    configurations: Iterable[Configuration],
    path: str | Path,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    count = 0
    with written_then_renamed(path) as temporary, writing_lmdb(temporary) as put:
        for count, configuration in enumerate(configurations, start=1):
            row = _row(configuration, count - 1)
            put(b"%d" % (count - 1), pickle.dumps(row, protocol=4))
        for name, value in {"length": count, **more}.items():
            put(name.encode(), pickle.dumps(value, protocol=4))


def write_parquet(configurations: Iterable[Configuration], path: str | Path) -> None:
    """Write Parquet with a row for each configuration; arrays are (nested) lists.

    Args:
        configurations: any number.
        path: of the file, which is replaced.
    """
    import pyarrow
    from pyarrow import parquet

    rows: list[dict[str, Any]] = []
    for c in configurations:
        row: dict[str, Any] = {"atomic_numbers": c.numbers, "positions": list(c.positions)}
        row |= {"cell": list(c.cell), "pbc": c.pbc, "energy": c.energy, "stress": c.stress}
        row |= {"forces": _rows(c.forces), "group": c.group}
        row |= {"fixed": c.fixed, "tags": c.tags, **_weights(c)}
        row |= extras_of(c)
        row |= {RELAXED_POSITIONS: _rows(c.relaxed_positions)}
        row |= {name: value.tolist() for name, value in _targets(c).items()}
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    table = pyarrow.table(
        {
            name: _column(name, values, path)
            for name, values in columns.items()
            if any(value is not None for value in values)
        }
    )
    with written_then_renamed(path) as temporary:
        parquet.write_table(table, temporary)


def _column(name: str, values: list[Any], path: str | Path) -> Any:
    import pyarrow

    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError) as error:
        raise DataError(
            f"{path}: '{name}' cannot be a column, expected texts or numbers of 64 bits: {error}"
        ) from None


def _rows(values: NDArray[np.float64] | None) -> list[NDArray[np.float64]] | None:
    return None if values is None else list(values)


def _weights(configuration: Configuration) -> dict[str, float]:
    """Weights that are not 1, under the names that the readers look for."""
    entries = {f"{term}_weight": getattr(configuration.weights, term) for term in _TERMS}
    return {name: weight for name, weight in entries.items() if weight != 1}


def _targets(configuration: Configuration) -> dict[str, NDArray[np.float64]]:
    for name in configuration.targets:
        if name.lower() in _RESERVED:
            raise DataError(
                f"{configuration.name}: the target '{name}' cannot be written under that name, "
                "expected one that the file does not use itself"
            )
    return configuration.targets


def _frame(c: Configuration) -> str:
    """One configuration in extended XYZ; repr() of a float has as many digits as it needs."""
    info: dict[str, Any] = {}
    properties = "species:S:1:pos:R:3"
    columns = [
        [chemical_symbols[number] for number in c.numbers],
        *(_words(column) for column in c.positions.T),
    ]
    if c.tags is not None:
        properties += ":tags:I:1"
        columns.append([str(tag) for tag in c.tags])
    if c.fixed is not None:
        properties += ":move_mask:L:1"
        columns.append(["F" if fixed else "T" for fixed in c.fixed])
    if c.forces is not None:
        properties += ":forces:R:3"
        columns += [_words(column) for column in c.forces.T]
    extras = extras_of(c, without=_targets(c))
    if (relaxed := extras.pop(RELAXED_POSITIONS, None)) is not None:
        properties += f":{RELAXED_POSITIONS}:R:3"
        columns += [_words(column) for column in relaxed.T]
    for name, value in _targets(c).items():
        if value.ndim in (1, 2) and len(value) == len(c) and value.size:
            properties += f":{name}:R:{value[0].size}"
            columns += [_words(column) for column in value.reshape(len(c), -1).T]
        else:
            info[name] = value
    comment = []
    if c.pbc.any() or c.cell.any():
        comment.append(f'Lattice="{" ".join(_words(c.cell.ravel()))}"')
    comment.append(f"Properties={properties}")
    if c.energy is not None:
        comment.append(f"energy={c.energy!r}")
    if c.stress is not None:
        matrix = c.stress[[0, 5, 4, 5, 1, 3, 4, 3, 2]]
        comment.append(f'stress="{" ".join(_words(matrix))}"')
    for name, weight in _weights(c).items():
        comment.append(f"{name}={weight!r}")
    if c.group is not None:
        comment.append(f"group={_quoted(c.group)}")
    for name, value in extras.items():
        comment.append(f"{name}={_quoted(value) if isinstance(value, str) else repr(value)}")
    comment += [f"{_name(name)}={_info(value)}" for name, value in info.items()]
    comment.append(f'pbc="{" ".join("T" if flag else "F" for flag in c.pbc)}"')
    lines = [str(len(c)), " ".join(comment), *map(" ".join, zip(*columns, strict=True)), ""]
    return "\n".join(lines)


def _words(values: NDArray[np.float64]) -> list[str]:
    return [repr(value) for value in values.tolist()]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _name(name: str) -> str:
    """A key, in quotes where it would not be one word."""
    return name if re.fullmatch(r"[A-Za-z_][\w.-]*", name) else _quoted(name)


def _info(value: NDArray[np.float64]) -> str:
    if value.ndim == 0:
        return repr(value.item())
    if value.ndim == 1 and len(value) > 1:
        return f'"{" ".join(_words(value))}"'
    return f'"_JSON {json.dumps(value.tolist())}"'


def _row(c: Configuration, index: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "pos": c.positions,
        "cell": c.cell[None],
        "atomic_numbers": c.numbers,
        "natoms": len(c),
        "pbc": c.pbc,
    }
    extras = extras_of(c)
    ids = {name: _id(extras.pop(name)) for name in IDS if name in extras}
    labels: dict[str, Any] = {
        "y": c.energy,
        "force": c.forces,
        "stress": c.stress,
        "group": c.group,
    }
    labels |= {"tags": c.tags, "fixed": None if c.fixed is None else c.fixed.astype(np.int64)}
    row |= {name: value for name, value in labels.items() if value is not None}
    return row | (ids or {"sid": index, "fid": 0}) | extras | _weights(c) | _targets(c)


def _id(text: str) -> int | str:
    """An id as OCP has it, a number where the text is that of one."""
    return int(text) if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text) else text
