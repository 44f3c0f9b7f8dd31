"""Counts and distributions of the configurations of a data set, and a picture of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from torchml.data.checks import describe_repeated_labels, repeated_labels, structure_digest
from torchml.data.configuration import Configuration
from torchml.data.output import written_then_renamed
from torchml.data.progress import track
from torchml.neighbors.periodic import periodic_particles

_NEAR = 4.0  # Å
_COLUMNS = 3  # histograms in a row of a picture


@dataclass
class Statistics:
    """Counts and values over configurations.

    Attributes:
        configurations: number of them.
        atoms: of each.
        elements: number of atoms by symbol.
        pbc: number of configurations by periodic directions, as "T T F".
        groups: number of configurations by group.
        labels: number of configurations with energy, forces, stress, fixed atoms, other weights,
            ids, and relaxed positions or energies.
        values: "energy per atom (eV)", "force components (eV/Å)", "stress components (eV/Å³)",
            "volume per atom (Å³)", "distance to the nearest atom, up to 4 Å (Å)" and "energy of
            relaxation (eV)", float[any].
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


def plot(found: Statistics, path: str | Path) -> None:
    """Write a PNG file with the histograms of all values."""
    from matplotlib.figure import Figure

    count = max(len(found.values), 1)
    rows, columns = -(-count // _COLUMNS), min(count, _COLUMNS)
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    for k, (name, values) in enumerate(found.values.items()):
        axes = figure.add_subplot(rows, columns, k + 1)
        axes.hist(values, bins=50, log=len(values) > 1000)
        axes.set_xlabel(name)
        axes.set_ylabel("number")
    with written_then_renamed(path) as temporary:
        figure.savefig(temporary, format="png")


def _labels(c: Configuration) -> dict[str, bool]:
    weights = {c.weights.energy, c.weights.forces, c.weights.stress}
    return {
        "energy": c.energy is not None,
        "forces": c.forces is not None,
        "stress": c.stress is not None,
        "fixed atoms": c.fixed is not None and bool(c.fixed.any()),
        "weights other than 1": weights != {1.0},
        "ids": c.sid is not None,
        "relaxed": c.relaxed_positions is not None or c.relaxed_energy is not None,
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
    values["distance to the nearest atom, up to 4 Å (Å)"] = nearest_distances(c)
    if c.relaxed_energy is not None and c.initial_energy is not None:
        values["energy of relaxation (eV)"] = c.relaxed_energy - c.initial_energy
    return {name: value for name, value in values.items() if np.size(value)}


def nearest_distances(c: Configuration) -> NDArray[np.float64]:
    """Distances of atoms to their nearest atoms or images, Å; those beyond 4 Å are left out."""
    particles = periodic_particles(c.positions, c.cell, c.pbc, _NEAR, _NEAR)
    starts = particles.neighbor_offsets[: len(c) + 1]
    centres = np.repeat(np.arange(len(c)), np.diff(starts))
    others = particles.neighbors[: starts[-1]]
    vectors = particles.coordinates[others] - particles.coordinates[centres]
    nearest = np.full(len(c), np.inf)
    np.minimum.at(nearest, centres, np.linalg.norm(vectors, axis=1))
    near: NDArray[np.float64] = nearest[np.isfinite(nearest)]
    return near
