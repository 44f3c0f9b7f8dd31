"""Training, validation and test data: `torchml data split FILE... -o FOLDER --val 0.1`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.progress import track
from torchml.data.sequences import Selection
from torchml.data.splits import PARTS, Split
from torchml.data.tools import selection
from torchml.data.tools.arguments import (
    WRITERS,
    Destination,
    add_output,
    add_source,
    joined,
    read_source,
)
from torchml.data.writing import write_lmdb_part
from torchml.errors import DataError, FileError

_IN_FOLDERS = ("lmdb", "aselmdb")  # data sets of these formats are folders


def texts() -> dict[str, Any]:
    return {
        "description": "Divide configurations at random into train, val and test. Ids are kept. "
        "LMDB parts are folders (train/data.0000.lmdb) with the keys length, origin_file and "
        "origin_indices; other parts are files (train.extxyz).",
        "epilog": "Example: torchml data split set -o parts --to aselmdb --val 0.1 --test 100",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    add_output(parser, what="folder of the parts; --to is extxyz by default")
    for part, default in zip(PARTS, ("all others", "none", "none"), strict=True):
        parser.add_argument(
            f"--{part}",
            type=_size,
            metavar="SIZE",
            help="number of configurations, fraction between 0 and 1, or file with indices "
            f"from 0; default: {default}",
        )
    parser.add_argument(
        "--by",
        choices=selection.GROUPS,
        help="keep configurations of one group, system or composition in one part; sizes are "
        "fractions, which are met approximately",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice, default 0")


def run(options: argparse.Namespace) -> int:
    destinations = _destinations(options)
    files, _ = read_source(options)
    configurations = joined(files)
    chosen = divide(configurations, options)
    _check_others(Path(options.output), destinations.values())
    for part in destinations:
        if len(chosen[part]) == 0:
            raise DataError(
                f"--{part} leaves none of {len(configurations)} configurations to {part}, expected "
                "at least one"
            )
    origin = ", ".join(str(file.path) for file in files)
    for part, destination in destinations.items():
        _write(configurations, chosen[part], destination, origin)
        print(f"{destination.path}: {len(chosen[part])} of {len(configurations)} configurations")
    return 0


def divide(
    configurations: Sequence[Configuration], options: argparse.Namespace
) -> dict[str, NDArray[np.int64]]:
    """Return the indices of train, val and test."""
    sizes = {part: getattr(options, part) for part in PARTS}
    if options.by is None:
        return Split(**sizes, seed=options.seed).indices(len(configurations))
    names = selection.group_names(configurations, options.by)
    return selection.split_by_groups(names, _fractions(sizes), options.seed)


def _fractions(sizes: dict[str, Any]) -> dict[str, float]:
    fractions = {part: 0.0 if size is None else size for part, size in sizes.items()}
    for part, size in fractions.items():
        if isinstance(size, str) or (isinstance(size, int) and size > 0) or not 0 <= size <= 1:
            raise DataError(f"--{part} is {size}, expected a fraction between 0 and 1 with --by")
    if sizes["train"] is None:
        fractions["train"] = 1.0 - fractions["val"] - fractions["test"]
    if abs(sum(fractions.values()) - 1) > 1e-9 or fractions["train"] <= 0:
        raise DataError(
            f"the fractions are {list(fractions.values())}, expected 1 in total with --by, and "
            "more than 0 to train"
        )
    return fractions


def _destinations(options: argparse.Namespace) -> dict[str, Destination]:
    """The files of the parts that are asked for."""
    parts = [part for part in PARTS if part == "train" or getattr(options, part) is not None]
    if parts == ["train"]:
        raise DataError("there is neither --val nor --test, expected at least one of them")
    format = options.to or "extxyz"
    folder = Path(options.output)
    if folder.suffix.lstrip(".") in WRITERS:
        raise DataError(f"--output is {folder}, expected the name of a folder for the parts")
    names = {part: part if format in _IN_FOLDERS else f"{part}.{format}" for part in parts}
    return {
        part: Destination.of(folder / name, format, options.force) for part, name in names.items()
    }


def _check_others(folder: Path, destinations: Iterable[Destination]) -> None:
    """Refuse a folder with a part of another split: it may overlap with the new parts."""
    names = {d.path.relative_to(folder.expanduser()).parts[0] for d in destinations}
    for path in sorted(folder.expanduser().glob("*")):
        data = path.suffix.lstrip(".") in WRITERS or any(path.glob("data.*"))
        if path.stem in PARTS and path.name not in names and data:
            raise FileError(
                f"{folder} contains {path.name}, which is of another split, expected another folder"
            )


def _write(
    configurations: Sequence[Configuration],
    indices: NDArray[np.int64],
    destination: Destination,
    origin: str,
) -> None:
    chosen = Selection(configurations, indices.tolist())
    tracked = track(chosen, f"writing {destination.path}", len(chosen))
    if destination.format == "lmdb":
        write_lmdb_part(tracked, indices.tolist(), destination.path, origin)
    else:
        destination.write(tracked)


def _size(text: str) -> int | float | str:
    """A number of configurations, a fraction, or the name of a file."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
