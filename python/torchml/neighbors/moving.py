"""The particles of a structure whose atoms move a little from one evaluation to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchml.errors import DataError
from torchml.neighbors.periodic import ParticleSystem, periodic_particles


class MovingParticles:
    """Verlet lists: ghosts and neighbour lists reach a skin further than needed and are kept.

    They are made again when atoms may have come closer than the skin allows for, and when the
    number of atoms or the periodicity changes (L. Verlet, Phys. Rev. 159, 98 (1967)).

    Args:
        cutoff: radius of the neighbour lists, Å.
        influence_distance: ghosts are the images within this distance of any atom, Å.
        skin: Å; 0 makes the lists anew each time.

    Attributes:
        renewals: how often the lists were made.
    """

    def __init__(self, cutoff: float, influence_distance: float, skin: float) -> None:
        if not skin >= 0:
            raise DataError(f"the skin is {skin} Å, expected 0 or more")
        self._cutoff = cutoff
        self._influence_distance = influence_distance
        self._skin = skin
        self._system: ParticleSystem | None = None
        self.renewals = 0

    def at(self, positions: ArrayLike, cell: ArrayLike, pbc: ArrayLike) -> ParticleSystem:
        """Return the particles; lists may hold pairs up to a skin beyond the cutoff.

        Args:
            positions: [atoms, 3], Å.
            cell: [3, 3], rows are lattice vectors, Å.
            pbc: one flag per lattice vector, or one for all.

        Raises:
            DataError: positions or cell are not finite, or the cell has no volume.
        """
        positions = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
        cell = np.asarray(cell, dtype=np.float64).reshape(3, 3)
        periodic = np.asarray(pbc, dtype=bool)
        if periodic.ndim == 0:
            periodic = np.repeat(periodic, 3)
        system = self._system
        if system is None or not self._holds(positions, cell, periodic):
            system = self._renew(positions, cell, periodic)
        translations = self._translations
        if not self._has_box(cell, periodic):
            translations = system.shifts @ cell
        return replace(system, coordinates=positions[system.image_of] + translations)

    def _renew(
        self, positions: NDArray[np.float64], cell: NDArray[np.float64], periodic: NDArray[np.bool_]
    ) -> ParticleSystem:
        self._system = system = periodic_particles(
            positions,
            cell,
            periodic,
            self._cutoff + self._skin,
            self._influence_distance + self._skin,
        )
        self._positions, self._cell, self._periodic = positions.copy(), cell.copy(), periodic.copy()
        self._box = cell[periodic].tobytes(), periodic.tobytes()
        self._translations = system.shifts[:, periodic] @ cell[periodic]
        self.renewals += 1
        return system

    def _holds(
        self, positions: NDArray[np.float64], cell: NDArray[np.float64], periodic: NDArray[np.bool_]
    ) -> bool:
        """Whether the lists hold all pairs that are within their distances now.

        Two atoms that both move by u come closer by at most 2 u. A cell that deforms by F leaves at
        least r times the smallest singular value of F from a distance r.
        """
        if positions.shape != self._positions.shape:
            return False
        before, shrinkage = self._positions, 0.0
        if not self._has_box(cell, periodic):
            if not (periodic & self._periodic).all() or not np.isfinite(cell).all():
                return False
            deformation = np.linalg.solve(self._cell, cell)
            before = before @ deformation
            shrinkage = 1.0 - float(np.linalg.svd(deformation, compute_uv=False).min())
        steps = positions - before
        furthest = float(np.sqrt(np.einsum("ij,ij->i", steps, steps).max(initial=0.0)))
        reach = self._influence_distance + self._skin
        return reach * max(0.0, shrinkage) + 2.0 * furthest < self._skin

    def _has_box(self, cell: NDArray[np.float64], periodic: NDArray[np.bool_]) -> bool:
        """Whether lattice and periodicity are those of the lists, bit by bit."""
        return (cell[periodic].tobytes(), periodic.tobytes()) == self._box
