"""Changed copies of configurations, which a potential labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.sequences import LazyConfigurations

_STRAIN = 0.02  # standard deviation of the components of the strain
_LEAST_RATTLE, _MOST_RATTLE = 0.01, 0.06  # of the shortest distance of the configuration
_CLOSER = 0.85  # share of the shortest distance below which no copy goes
_LEAST_GAP, _MOST_GAP = 0.25, 0.6  # share of a period that a cut removes
_LEAST_ATOMS = 4  # that a cut leaves
_NEAR, _REACH = 3.0, 6.0  # Å, within which the shortest distance is sought, one after the other


class Copies(LazyConfigurations):
    """Strained and rattled copies of configurations, without labels; some are cut open.

    A potential that learns from another one sees more of it in them than in the configurations
    themselves. Each is made when it is asked for, and is the same every time.

    * The cell is strained by 2 % (standard deviation of each component), and atoms are displaced
      by a random amount of up to 6 % of the shortest distance. No distance becomes shorter than
      0.85 of the shortest before; fixed atoms stay in their places in the cell.
    * Every `number`-th copy of a structure that is periodic in three directions loses the atoms
      between two lattice planes of its cell, where at least four atoms remain: it has surfaces.

    An atom without neighbours has no copies.

    Args:
        configurations: any number; labels and ids are left out.
        number: copies of each.
        seed: of everything random.
    """

    def __init__(self, configurations: Sequence[Configuration], number: int, seed: int = 0) -> None:
        self._originals = configurations
        self._number = number
        self._seed = seed
        self._shortest = [shortest_distance(one) for one in configurations]
        changeable = [k for k, shortest in enumerate(self._shortest) if shortest < _REACH]
        self._places = [(k, copy) for k in changeable for copy in range(number)]

    def __len__(self) -> int:
        return len(self._places)

    def read(self, index: int) -> Configuration:
        """Make the copy at 0 <= index < len(self)."""
        place, copy = self._places[index]
        rng = np.random.default_rng([self._seed, place, copy])
        original, shortest = self._originals[place], self._shortest[place]
        cut = copy == self._number - 1 and bool(original.pbc.all())
        strain, rattle = _STRAIN, rng.uniform(_LEAST_RATTLE, _MOST_RATTLE) * shortest
        while True:
            changed = _changed(original, strain, rattle, rng)
            if shortest_distance(changed) >= _CLOSER * shortest:
                return _cut(changed, rng) if cut else changed
            strain, rattle = strain / 2, rattle / 2


def shortest_distance(configuration: Configuration) -> float:
    """Return the distance of the closest atoms (Å), infinite where none are within 6 Å."""
    atoms = configuration.to_atoms()
    atoms.calc = None
    for reach in (_NEAR, _REACH):
        if len(distances := neighbor_list("d", atoms, reach)):
            return float(distances.min())
    return float("inf")


def _changed(
    original: Configuration, strain: float, rattle: float, rng: np.random.Generator
) -> Configuration:
    """A copy with a random strain (standard deviation) and displacements of atoms (Å)."""
    change = rng.normal(scale=strain, size=(3, 3))
    stretch = np.eye(3) + (change + change.T) / 2
    steps = rng.normal(scale=rattle, size=original.positions.shape)
    if original.fixed is not None:
        steps[original.fixed] = 0.0
    return _like(original, original.positions @ stretch + steps, original.cell @ stretch)


def _cut(configuration: Configuration, rng: np.random.Generator) -> Configuration:
    """The configuration without the atoms between two of its lattice planes."""
    plane = np.zeros(3, dtype=np.int64)
    while not plane.any():
        plane = rng.integers(-1, 2, size=3)
    scaled = configuration.positions @ np.linalg.inv(configuration.cell)
    phase = (scaled @ plane + rng.random()) % 1.0
    kept = phase > rng.uniform(_LEAST_GAP, _MOST_GAP)
    if kept.sum() < _LEAST_ATOMS:
        return configuration
    return _like(configuration, configuration.positions, configuration.cell, kept)


def _like(
    original: Configuration,
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    kept: NDArray[np.bool_] | None = None,
) -> Configuration:
    """A configuration of the kept atoms at other places: what is no label stays."""
    chosen = np.ones(len(original), dtype=bool) if kept is None else kept

    def of(values: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if values is None else values[chosen]

    return Configuration(
        numbers=original.numbers[chosen],
        positions=positions[chosen],
        cell=cell,
        pbc=original.pbc,
        fixed=of(original.fixed),
        tags=of(original.tags),
        weights=original.weights,
        source=f"a copy of {original.source}",
        index=original.index,
        group=original.group,
        info=original.info,
    )
