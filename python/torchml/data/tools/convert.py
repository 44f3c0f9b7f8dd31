"""Another format: `torchml data convert FILE... -o OUTPUT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from torchml.data.configuration import Configuration
from torchml.data.keys import COLUMN, Keys, roles
from torchml.data.progress import track
from torchml.data.reading import Contents, read
from torchml.data.tools.arguments import Destination, add_output, add_source, joined, read_source
from torchml.errors import DataError

_ARRAYS = (
    *("numbers", "positions", "cell", "pbc", "forces", "stress", "fixed", "tags"),
    "relaxed_positions",
)
_VALUES = ("energy", "weights", "group", "relaxed_energy", "initial_energy", "info")
_IDS = ("sid", "fid")  # a file of OCP's rows gives ids to what has none


def differences(first: Configuration, second: Configuration) -> list[str]:
    """Return the names of the fields in which two configurations differ, to the last bit.

    Sources and places in them may differ, and the second may have ids that the first has not.
    """
    names = [name for name in _VALUES if getattr(first, name) != getattr(second, name)]
    for name in _IDS:
        if getattr(first, name) not in (None, getattr(second, name)):
            names.append(name)
    for name in _ARRAYS:
        if not _equal(getattr(first, name), getattr(second, name)):
            names.append(name)
    targets = first.targets.keys() | second.targets.keys()
    for name in sorted(targets):
        if not _equal(first.targets.get(name), second.targets.get(name)):
            names.append(name)
    return names


def check_equal(before: Sequence[Configuration], after: Sequence[Configuration]) -> None:
    """Raise DataError with the first configuration that differs."""
    if len(before) != len(after):
        raise DataError(f"{len(after)} configurations were written, expected {len(before)}")
    for first, second in track(zip(before, after, strict=True), "comparing", len(before)):
        if names := differences(first, second):
            raise DataError(
                f"{second.name} differs from {first.name} in {', '.join(names)}, expected no "
                "difference"
            )


def _equal(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    return first.shape == second.shape and np.array_equal(first, second, equal_nan=True)


def left_out(files: Sequence[Contents], keys: Keys) -> list[str]:
    """Return the names in files that are read as nothing, and so are not written."""
    found = {
        name
        for file in files
        for name, role in roles(file.names, keys).items()
        if role in ("", COLUMN) and name not in _NOT_MISSED
    }
    return sorted(found)


# Of the format, or derived from the rest.
_NOT_MISSED = {
    *("unique_id", "natoms", "edge_index", "cell_offsets", "free_energy", "energies", "stresses"),
}


def texts() -> dict[str, Any]:
    return {
        "description": "Write configurations in another format, in eV and Å, with all digits.",
        "epilog": "Example: torchml data convert data.lmdb -o data.aselmdb --check",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    add_output(parser)
    parser.add_argument(
        "--check", action="store_true", help="read what was written, and compare every value"
    )


def run(options: argparse.Namespace) -> int:
    destination = Destination.of(options.output, options.to, options.force)
    files, keys = read_source(options)
    configurations = joined(files)
    destination.write(track(configurations, "writing", len(configurations)))
    print(f"{destination.path}: {len(configurations)} configurations, {destination.format}")
    if names := left_out(files, keys):
        print(
            f"not written: {', '.join(names)} (--keys targets=NAME,... keeps numbers)",
            file=sys.stderr,
        )
    if options.check:
        written = read(destination.path, Keys(targets=keys.targets), destination.format)
        check_equal(configurations, written)
        print("compared: every value is equal")
    return 0
