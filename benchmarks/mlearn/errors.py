"""Errors of energies and forces on a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator


@dataclass(frozen=True)
class Errors:
    """Mean absolute and root mean square: energy per atom, meV; components of forces, eV/Å."""

    energy: float
    energy_rms: float
    forces: float
    forces_rms: float


def errors(structures: Sequence[Atoms], calculator: Calculator) -> Errors:
    """Return the errors; every configuration counts for energies, every component for forces."""
    energy, forces = [], []
    for reference in structures:
        atoms = Atoms(
            reference.get_chemical_symbols(), reference.positions, cell=reference.cell, pbc=True
        )
        atoms.calc = calculator
        difference = atoms.get_potential_energy() - reference.get_potential_energy()
        energy.append(1e3 * difference / len(atoms))
        forces.append((atoms.get_forces() - reference.get_forces()).ravel())
    every = np.concatenate(forces)
    return Errors(
        energy=float(np.abs(energy).mean()),
        energy_rms=float(np.sqrt(np.square(energy).mean())),
        forces=float(np.abs(every).mean()),
        forces_rms=float(np.sqrt(np.square(every).mean())),
    )
