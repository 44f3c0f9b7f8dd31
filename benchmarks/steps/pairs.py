"""Minimum-image edges for programs with a box, kept between steps as in LAMMPS."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import primitive_neighbor_list
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class VerletList:
    """Verlet list: pairs within cutoff + skin, rebuilt when an atom moved by half the skin (Å).

    L. Verlet, Phys. Rev. 159, 98 (1967)."""

    def __init__(self, cutoff: float, skin: float) -> None:
        self.cutoff = cutoff
        self.skin = skin
        self._listed_at: Floats = np.empty((0, 3))
        self._index: Integers = np.empty((2, 0), dtype=np.int64)
        self._shifts: Floats = np.empty((0, 3))

    def edges(self, atoms: Atoms) -> tuple[Integers, Floats]:
        """[2, E], row 0 source, row 1 target, and the vectors from target to source, [E, 3]."""
        x = atoms.positions
        if len(x) != len(self._listed_at) or self._moved(x) > self.skin / 2:
            i, j, shifts = primitive_neighbor_list(
                "ijS", atoms.pbc, atoms.cell.array, x, self.cutoff + self.skin
            )
            self._index = np.stack([j, i]).astype(np.int64)
            self._shifts = shifts @ atoms.cell.array
            self._listed_at = x.copy()
        source, target = self._index
        vectors = x[source] - x[target] + self._shifts
        near = np.einsum("ij,ij->i", vectors, vectors) < self.cutoff**2
        return np.ascontiguousarray(self._index[:, near]), vectors[near]

    def _moved(self, x: Floats) -> float:
        return float(np.sqrt(((x - self._listed_at) ** 2).sum(axis=1).max()))
