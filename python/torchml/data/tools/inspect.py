"""What was understood of data files: `torchml data inspect FILE...`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchml.data.keys import COLUMN, Keys, roles, unused_labels
from torchml.data.reading import Contents, notices
from torchml.data.sequences import Joined
from torchml.data.tools.arguments import add_source, read_source
from torchml.data.tools.statistics import Statistics, plot, statistics

_BINS = 8
_BAR = 40  # characters of the longest bar


def describe(files: Sequence[Contents], keys: Keys, found: Statistics) -> str:
    """Return a text about files and their configurations."""
    lines = []
    for file in files:
        lines.append(f"{file.path}: {len(file.configurations)} configurations, {file.format}")
        lines += [f"  {name:<9} {text}" for name, text in _names(file, keys).items() if text]
    lines += ["", *_counts(found), f"{'units':<11} {_units(keys)}"]
    for name, values in found.values.items():
        lines += ["", *histogram(name, values)]
    if found.duplicates:
        second, first = found.duplicates[0]
        lines += ["", f"{len(found.duplicates)} duplicates: {second} equals {first}"]
    if found.repeated_labels:
        lines += ["", f"repeated labels: {found.repeated_labels}"]
    return "\n".join([*lines, *(f"\nnote: {notice}" for notice in notices(files))])


def histogram(name: str, values: NDArray[np.float64]) -> list[str]:
    """Return the lines of a histogram in text, with minimum, mean, maximum and deviation."""
    lines = [
        f"{name}: {len(values)} values, {values.min():.5g} to {values.max():.5g}, "
        f"mean {values.mean():.5g}, standard deviation {values.std():.3g}"
    ]
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        return lines
    counts, edges = np.histogram(values, _BINS)
    for k, count in enumerate(counts):
        bar = "#" * int(np.ceil(_BAR * count / counts.max()))
        lines.append(f"  {edges[k]:>11.4g} to {edges[k + 1]:>11.4g} {count:>9} {bar}".rstrip())
    return lines


def _names(file: Contents, keys: Keys) -> dict[str, str]:
    """The names in a file: those that are used and as what, and those that are not."""
    found = roles(file.names, keys)
    likely = unused_labels(file.names, keys)
    used = {name: role for name, role in found.items() if role not in ("", COLUMN, "structure")}
    unused = [name for name, role in found.items() if role in ("", COLUMN) and name not in likely]
    return {
        "used": ", ".join(
            name if name == role else f"{name} as {role.replace('_', ' ')}"
            for name, role in used.items()
        )
        or "no labels",
        "not used": ", ".join(unused),
        "look out": ", ".join(likely) and f"{', '.join(likely)}: may be labels, and are not used",
    }


def _counts(found: Statistics) -> list[str]:
    smallest, largest = min(found.atoms), max(found.atoms)
    size = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
    rows = {
        "atoms": f"{sum(found.atoms)} in {found.configurations} configurations of {size}",
        "elements": _listed(found.elements),
        "pbc": _listed(found.pbc),
        "labels": _listed({name: count for name, count in found.labels.items() if count}),
        "groups": _listed(found.groups),
    }
    return [f"{name:<11} {text}" for name, text in rows.items() if text]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def _units(keys: Keys) -> str:
    force = keys.force_unit or f"{keys.energy_unit}/{keys.length_unit}"
    stress = keys.stress_unit or f"{keys.energy_unit}/{keys.length_unit}³"
    return (
        f"read as energy {keys.energy_unit}, length {keys.length_unit}, forces {force}, stress "
        f"{stress}; virials {keys.energy_unit}; below in eV and Å"
    )


# --- The command ---------------------------------------------------------------------------------


def texts() -> dict[str, Any]:
    return {
        "description": "Show what is understood of data files: keys, units, counts, distributions.",
        "epilog": "Example: torchml data inspect a.extxyz --keys energy=REF_energy energy_unit=Ha",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("--plot", metavar="FILE", help="write histograms into a PNG file")


def run(options: argparse.Namespace) -> int:
    files, keys = read_source(options)
    found = statistics(Joined([file.configurations for file in files]))
    print(describe(files, keys, found))
    if options.plot:
        plot(found, options.plot)
    return 0
