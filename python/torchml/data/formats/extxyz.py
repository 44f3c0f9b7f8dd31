"""Extended XYZ, in the dialects of ASE, QUIP, KLIFF, GPUMD, MACE and NequIP.

A configuration is a line with the number of atoms, a line of key=value pairs, and a line per atom
whose columns the key `Properties` describes.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.extras import TEXTS
from torchml.data.formats.comment_line import parse, value_of
from torchml.data.formats.unpacking import most_unpacked
from torchml.data.keys import ALIASES, Keys, collect
from torchml.data.labels import configuration_of
from torchml.data.progress import Progress
from torchml.errors import DataError, FileError

_PLAIN = "species:S:1:pos:R:3"  # what a file without `Properties` holds
_COMPRESSED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_TRUE = {"T": True, "True": True, "true": True, "1": True}
_FALSE = {"F": False, "False": False, "false": False, "0": False}
_TEXTS = {*ALIASES["group"], *TEXTS}  # "T" and "007" are names of groups like others
_CELLS = {"cell", "box", "unit_cell", "cell_vectors", "lattice_vectors", "lattice_parameters"}
_COLUMNS = {
    "species": "symbols",
    "symbols": "symbols",
    "element": "symbols",
    "Z": "numbers",
    "numbers": "numbers",
    "atomic_numbers": "numbers",
    "pos": "positions",
    "positions": "positions",
}


def read_extxyz(path: Path, keys: Keys, names: dict[str, str]) -> list[Configuration]:
    """Read all configurations of a file; errors name the line and the atom.

    The names of labels and columns are added to `names`.
    """
    configurations: list[Configuration] = []
    opened = _COMPRESSED.get(path.suffix)
    size = None if opened else path.stat().st_size
    with (
        (opened or open)(path, "rt", encoding="utf-8-sig") as file,
        Progress(f"reading {path.name}", size) as bar,
    ):
        lines = _unpacked(file, path) if opened else file
        try:
            for index, (text, rows, line) in enumerate(_frames(lines, path)):
                where = f"{path}, configuration {index}"
                configurations.append(
                    _configuration(text, rows, where, line, keys, str(path), index, names)
                )
                bar.advance(len(text) + sum(map(len, rows)))
        except UnicodeDecodeError:
            raise FileError(f"{path} is not text, expected extended XYZ") from None
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise FileError(
                f"{path} cannot be read after {len(configurations)} configurations: {error}"
            ) from None
    if not configurations:
        raise DataError(f"{path} is empty, expected configurations in extended XYZ")
    return configurations


def _unpacked(file: TextIO, path: Path) -> Iterator[str]:
    """The lines of a compressed file, as long as they are not far more than the file."""
    left = most = most_unpacked(path.stat().st_size)
    while line := file.readline(left):
        left -= len(line)
        if left == 0:
            raise DataError(
                f"{path} unpacks to more than {most >> 20} MiB although it has "
                f"{path.stat().st_size} bytes, expected structures"
            )
        yield line


def _frames(file: Iterator[str], path: Path) -> Iterator[tuple[str, list[str], int]]:
    """Second line, lines of the atoms, and the number of the first of these, per configuration."""
    line = 0
    for index in itertools.count():
        head = ""
        for head in file:
            line += 1
            if head.strip():
                break
        if not head.strip():
            return
        where = f"{path}, configuration {index}"
        try:
            if not 0 <= (atoms := int(head)) <= sys.maxsize:
                raise ValueError
        except ValueError:
            raise DataError(
                f"{where}: line {line} is {head.strip()!r:.40}, expected the number of atoms"
            ) from None
        text = next(file, None)
        rows = list(itertools.islice(file, atoms))
        if text is None or len(rows) < atoms:
            raise DataError(
                f"{where}: the file ends after {len(rows)} of {atoms} atoms, it has been cut short"
            )
        yield text, rows, line + 2
        line += 1 + atoms


def _configuration(
    text: str,
    rows: list[str],
    where: str,
    line: int,
    keys: Keys,
    source: str,
    index: int,
    names: dict[str, str],
) -> Configuration:
    try:
        labels = parse(text)
        properties = _take(labels, "properties")
        cell = _cell(_take(labels, "lattice"))
        pbc = _take(labels, "pbc")
        for name, value in labels.items():
            if name.lower() not in _TEXTS and name != keys.group:
                labels[name] = value_of(value)
        if cell is None:
            _check_no_other_cell(labels)
    except DataError as error:
        raise DataError(f"{where}: line {line - 1}: {error}") from None
    columns = _columns(str(_PLAIN if properties is None else properties), rows, where, line)
    numbers = columns.pop("numbers", None)
    symbols = columns.pop("symbols", None)
    if numbers is None and symbols is not None:
        numbers = np.array(_atomic_numbers(symbols, where, line))
    positions = columns.pop("positions", None)
    if numbers is None or positions is None:
        missing = "species" if numbers is None else "pos"
        raise DataError(f"{where}: Properties on line {line - 1} has no '{missing}'")
    moves = columns.pop("move_mask", None)
    moves = None if moves is None else moves.reshape(len(rows), -1)
    tags = columns.pop("tags", None)
    collect(names, labels, columns)
    configuration = configuration_of(
        numbers,
        positions,
        cell,
        _flags(value_of(pbc), where) if pbc is not None else cell is not None,
        labels,
        keys,
        source,
        index,
        # A mask of three columns speaks of directions: fixed is what moves in none of them.
        fixed=None if moves is None else ~moves.any(axis=1),
        tags=tags,
        columns=columns,
    )
    if moves is not None and (moves.any(axis=1) != moves.all(axis=1)).any():
        return replace(configuration, constraint="move_mask of single directions")
    return configuration


def _take(labels: dict[str, Any], wanted: str) -> Any:
    """Remove and return what has this name in any case: dialects write pbc and PBC."""
    there = [name for name in labels if name.lower() == wanted]
    if len(there) > 1:
        raise DataError(f"{' and '.join(there)} are both there, expected one of them")
    return labels.pop(there[0]) if there else None


def _cell(text: Any) -> NDArray[np.float64] | None:
    """The lattice vectors as rows, of nine numbers or three rows of three."""
    if text is None:
        return None
    value = value_of(text)
    size = 0 if isinstance(value, str) and not value else np.size(value)
    if size != 9:
        raise DataError(f"Lattice holds {size} numbers, expected 9")
    try:
        return np.asarray(value, dtype=np.float64).reshape(3, 3)
    except ValueError:
        raise DataError(f"Lattice is {text!r:.60}, expected 9 numbers") from None


def _check_no_other_cell(labels: dict[str, Any]) -> None:
    """Refuse a cell under a name that is not read: the structure would become an open cluster."""
    for name, value in labels.items():
        if name.lower() in _CELLS and not isinstance(value, str) and np.size(value) in (3, 6, 9):
            raise DataError(f"there is '{name}' and no Lattice, expected the cell as Lattice")


def _flags(value: Any, where: str) -> list[bool]:
    known = _TRUE | _FALSE
    words = str(value).split() if isinstance(value, str) else np.ravel(value).tolist()
    try:
        flags = [known[str(word)] for word in words]
    except KeyError:
        flags = []
    if len(flags) not in (1, 3):
        raise DataError(f"{where}: pbc is {value!r}, expected three of T and F")
    return flags if len(flags) == 3 else flags * 3


def _columns(properties: str, rows: list[str], where: str, line: int) -> dict[str, NDArray[Any]]:
    """The columns of the atoms by name, as Properties describes them: name:type:count:..."""
    fields = properties.split(":")
    names, kinds = fields[0::3], fields[1::3]
    try:
        counts = [int(count) for count in fields[2::3]]
    except ValueError:
        counts = []
    if not (len(names) == len(kinds) == len(counts)) or set(kinds) - set("SRIL"):
        raise DataError(
            f"{where}: Properties on line {line - 1} is '{properties}', expected name:type:count "
            "triplets with the types S, R, I or L"
        )
    words = [row.split() for row in rows]
    width = sum(counts)
    for atom, row in enumerate(words):
        if len(row) != width:
            raise DataError(f"{where}: line {line + atom} has {len(row)} columns, expected {width}")
    flat = list(itertools.chain.from_iterable(words))
    arrays: dict[str, NDArray[Any]] = {}
    first = 0
    for name, kind, count in zip(names, kinds, counts, strict=True):
        columns = [flat[k::width] for k in range(first, first + count)]
        first += count
        values = np.empty((len(rows), count), dtype=_TYPES[kind])
        for k, column in enumerate(columns):
            try:
                values[:, k] = list(map(_CONVERSIONS[kind], column))
                if kind in "RI" and "_" in "".join(column):  # Python reads 1_0 as 10
                    raise ValueError
            except (ValueError, KeyError, OverflowError):
                atom = next(i for i, word in enumerate(column) if not _fits(word, kind))
                raise DataError(
                    f"{where}: line {line + atom} has {column[atom]!r:.30} as '{name}', "
                    f"expected {_WORDS[kind]}"
                ) from None
        known = _COLUMNS.get(name, name)
        if known in arrays:
            raise DataError(
                f"{where}: Properties on line {line - 1} has '{name}' twice, expected it once"
            )
        arrays[known] = values[:, 0] if count == 1 else values
    return arrays


_TYPES: dict[str, Any] = {"S": object, "R": np.float64, "I": np.int64, "L": np.bool_}
_WORDS = {"S": "a word", "R": "a number", "I": "an integer", "L": "T or F"}
_CONVERSIONS: dict[str, Any] = {
    "S": str,
    "R": float,
    "I": int,
    "L": (_TRUE | _FALSE).__getitem__,
}


def _fits(word: str, kind: str) -> bool:
    try:
        np.asarray(_CONVERSIONS[kind](word), dtype=_TYPES[kind])
    except (ValueError, KeyError, OverflowError):
        return False
    return kind not in "RI" or "_" not in word


def _atomic_numbers(symbols: NDArray[Any], where: str, line: int) -> list[int]:
    """Of chemical symbols in any case, or of atomic numbers where the file has these instead."""
    words = symbols.tolist()
    known = {
        word: int(word) if word.isdigit() else atomic_numbers.get(word.capitalize(), 0)
        for word in set(words)
    }
    numbers = [known[word] for word in words]
    if 0 in numbers:
        atom = numbers.index(0)
        raise DataError(
            f"{where}: line {line + atom} has the element '{words[atom]}', expected one of the "
            "periodic table"
        )
    return numbers
