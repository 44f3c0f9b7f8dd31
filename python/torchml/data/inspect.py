"""What was understood of data files: `torchml data inspect FILE...`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from torchml.data.checks import describe_repeated_labels, repeated_labels, structure_digest
from torchml.data.configuration import Configuration
from torchml.data.keys import COLUMN, Keys, roles, unused_labels
from torchml.data.progress import track
from torchml.data.reading import Contents, notices, read_files
from torchml.data.sequences import Joined
from torchml.errors import DataError

_BINS = 8
_BAR = 40  # characters of the longest bar


@dataclass
class Statistics:
    """Counts and values over configurations.

    Attributes:
        configurations: number of them.
        atoms: of each.
        elements: number of atoms by symbol.
        pbc: number of configurations by periodic directions, as "T T F".
        groups: number of configurations by group.
        labels: number of configurations with energy, forces, stress, fixed atoms, other weights.
        values: "energy per atom (eV)", "force components (eV/Å)", "stress components (eV/Å³)" and
            "volume per atom (Å³)", float[any].
        duplicates: names of configurations that equal an earlier one, and of that one.
        repeated_labels: sentence about equal labels of different structures; empty if none.
    """

    configurations: int = 0
    atoms: list[int] = field(default_factory=list)
    elements: Counter[str] = field(default_factory=Counter)
    pbc: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    values: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    repeated_labels: str = ""


def statistics(configurations: Sequence[Configuration]) -> Statistics:
    """Count and collect what the configurations contain; each is read once."""
    found = Statistics()
    values: dict[str, list[NDArray[np.float64]]] = {}
    seen: dict[bytes, str] = {}
    labelled = []
    for c in track(configurations, "inspecting", len(configurations)):
        found.configurations += 1
        found.atoms.append(len(c))
        numbers, counts = np.unique(c.numbers, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            found.elements[chemical_symbols[number]] += count
        found.pbc[" ".join("FT"[int(flag)] for flag in c.pbc)] += 1
        if c.group is not None:
            found.groups[c.group] += 1
        for name, there in _labels(c).items():
            found.labels[name] += there
        for name, entry in _values(c).items():
            values.setdefault(name, []).append(np.ravel(entry))
        name = seen.setdefault(structure_digest(c), c.name)
        if name != c.name:
            found.duplicates.append((c.name, name))
        elif c.energy is not None and c.forces is not None:
            labelled.append(c)
    found.values = {name: np.concatenate(entries) for name, entries in values.items()}
    if pairs := repeated_labels(labelled):
        found.repeated_labels = describe_repeated_labels(pairs)
    return found


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


def plot(found: Statistics, path: str | Path) -> None:
    """Write a figure with the histograms of all values."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * max(len(found.values), 1), 3.2), layout="constrained")
    for k, (name, values) in enumerate(found.values.items()):
        axes = figure.add_subplot(1, len(found.values), k + 1)
        axes.hist(values, bins=50, log=len(values) > 1000)
        axes.set_xlabel(name)
        axes.set_ylabel("number")
    figure.savefig(path)


def _labels(c: Configuration) -> dict[str, bool]:
    weights = {c.weights.energy, c.weights.forces, c.weights.stress}
    return {
        "energy": c.energy is not None,
        "forces": c.forces is not None,
        "stress": c.stress is not None,
        "fixed atoms": c.fixed is not None and bool(c.fixed.any()),
        "weights other than 1": weights != {1.0},
    }


def _values(c: Configuration) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if c.energy is not None:
        values["energy per atom (eV)"] = c.energy / len(c)
    if c.forces is not None:
        values["force components (eV/Å)"] = c.forces
    if c.stress is not None and c.has_volume:
        values["stress components (eV/Å³)"] = c.stress
    elif c.stress is not None:
        values["stress of slabs and wires (eV/Å², eV/Å)"] = c.stress
    if c.has_volume:
        values["volume per atom (Å³)"] = float(abs(np.linalg.det(c.cell))) / len(c)
    return values


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
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, folders or wildcards")
    parser.add_argument(
        "--keys",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="names and units of the labels, as data.keys: energy=REF_energy energy_unit=Ha",
    )
    parser.add_argument("--format", help="format of the files, as data.format")
    parser.add_argument(
        "--broken", choices=("error", "skip", "keep"), default="error", help="as data.broken"
    )
    parser.add_argument("--plot", metavar="FILE", help="write histograms into a PNG file")


def run(options: argparse.Namespace) -> int:
    keys = keys_of(options.keys)
    files = list(read_files(options.files, keys, options.format, options.broken))
    found = statistics(Joined([file.configurations for file in files]))
    print(describe(files, keys, found))
    if options.plot:
        plot(found, options.plot)
    return 0


def keys_of(words: Iterable[str]) -> Keys:
    """Return the keys of words like energy=REF_energy; null ignores a label.

    Raises:
        DataError: a word has another form, or names no key.
    """
    known = {entry.name for entry in fields(Keys)}
    values: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.removeprefix("keys.").partition("=")
        if not equals or name not in known:
            raise DataError(
                f"--keys has '{word}', expected NAME=VALUE with one of {', '.join(sorted(known))}"
            )
        values[name] = None if value == "null" else value
    if "targets" in values:
        values["targets"] = str(values["targets"]).split(",")
    if "allow_missing" in values:
        values["allow_missing"] = values["allow_missing"] == "true"
    return Keys(**values)
