"""What the members of a committee compute, and how much they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Members:
    """Results of k members for one structure; their means are the results of the committee.

    A deviation is the sample standard deviation over the members, with k - 1 in the denominator.

    Attributes:
        energies: [k], eV.
        particle_energies: [k, atoms], eV.
        forces: [k, atoms, 3], eV/Å; None where forces were not requested.
    """

    energies: NDArray[np.float64]
    particle_energies: NDArray[np.float64]
    forces: NDArray[np.float64] | None = None

    @property
    def energy_deviation(self) -> float:
        """Of the total energy, eV."""
        return float(np.std(self.energies, ddof=1))

    @property
    def particle_energy_deviations(self) -> NDArray[np.float64]:
        """Of the energy of each atom: [atoms], eV."""
        return np.asarray(np.std(self.particle_energies, axis=0, ddof=1))

    @property
    def force_component_deviations(self) -> NDArray[np.float64] | None:
        """Of each component of the forces: [atoms, 3], eV/Å."""
        return None if self.forces is None else np.asarray(np.std(self.forces, axis=0, ddof=1))

    @property
    def force_deviations(self) -> NDArray[np.float64] | None:
        """Of the force on each atom: [atoms], eV/Å.

        It is the root of the sum of the squares of its components, the same in every orientation.
        """
        components = self.force_component_deviations
        return None if components is None else np.asarray(np.linalg.norm(components, axis=1))

    @classmethod
    def of(cls, results: dict[str, Any], atoms: slice) -> Members:
        """Take the results of some of the evaluated particles.

        Args:
            results: of the engine, for all particles.
            atoms: the particles of the structure.
        """
        particle_energies = results["member_particle_energies"][:, atoms].copy()
        forces = results.get("member_forces")
        return cls(
            energies=particle_energies.sum(axis=1),
            particle_energies=particle_energies,
            forces=None if forces is None else forces[:, atoms].copy(),
        )
