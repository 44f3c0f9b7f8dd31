"""Predictions of a model for labelled structures, and the labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.io import read
from numpy.typing import NDArray

from torchml import Calculator


@dataclass(frozen=True)
class Parity:
    """Labels and predictions of the test structures, energies per atom (eV) and forces (eV/Å).

    groups names the kind of each structure, energies are [S], forces [S, N, 3].
    """

    groups: NDArray[np.str_]
    energies: NDArray[np.float64]
    predicted_energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    predicted_forces: NDArray[np.float64]

    def errors(self, group: str | None = None) -> tuple[float, float]:
        """Mean absolute errors of a group or of all."""
        some = slice(None) if group is None else self.groups == group
        energy = np.abs(self.predicted_energies - self.energies)[some].mean()
        return float(energy), float(np.abs(self.predicted_forces - self.forces)[some].mean())


def predict(model: Path, file: Path) -> Parity:
    """Evaluate a portable model on all structures, with the C++ code that LAMMPS runs."""
    structures = read(file, ":")
    calculator = Calculator(model)
    energies, forces = [], []
    for labelled in structures:
        atoms = labelled.copy()
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy() / len(atoms))
        forces.append(atoms.get_forces())
    return Parity(
        groups=np.array([atoms.info["group"] for atoms in structures]),
        energies=np.array([atoms.get_potential_energy() / len(atoms) for atoms in structures]),
        predicted_energies=np.array(energies),
        forces=np.array([atoms.get_forces() for atoms in structures]),
        predicted_forces=np.array(forces),
    )
