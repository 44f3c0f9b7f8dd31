"""The energy of a simulation at constant energy (NVE), which drifts if forces are wrong."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from torchml.reference.physics.evaluating import Evaluate, energy_of, forces_of

SEED = 5
TEMPERATURE = 300.0  # K
LONGEST_STEP = 1.0  # fs, for carbon and heavier atoms
CARBON = 12.0  # mass


def time_step(atoms: Atoms) -> float:
    """Return a time step (fs) that the lightest atom allows."""
    return LONGEST_STEP * min(1.0, float(np.sqrt(atoms.get_masses().min() / CARBON)))


def total_energies(evaluate: Evaluate, atoms: Atoms, steps: int) -> NDArray[np.float64]:
    """Return the energy of atoms and motion (eV) before each step, [steps].

    Velocities of 300 K, velocity Verlet: W. C. Swope et al., J. Chem. Phys. 76, 637 (1982).

    Args:
        evaluate: returns the evaluation of a structure.
        atoms: the structure at the beginning.
        steps: number of time steps.
    """
    atoms = atoms.copy()
    masses, step = atoms.get_masses()[:, None], time_step(atoms) * units.fs
    velocities = np.random.default_rng(SEED).normal(size=(len(atoms), 3))
    velocities *= np.sqrt(units.kB * TEMPERATURE / masses)
    velocities -= (masses * velocities).sum(axis=0) / masses.sum()
    found = evaluate(atoms)
    energies = []
    for _ in range(steps):
        energies.append(energy_of(found) + float((masses * velocities**2).sum() / 2))
        velocities += step / 2 * forces_of(found) / masses
        atoms.positions += step * velocities
        found = evaluate(atoms)
        velocities += step / 2 * forces_of(found) / masses
    return np.array(energies)


def drift(energies: NDArray[np.float64], atoms: Atoms) -> float:
    """Return the slope of the straight line through total energies, meV per atom and ps."""
    if not np.isfinite(energies).all():
        return float("inf")
    times = np.arange(len(energies)) * time_step(atoms) * 1e-3
    slope: float = np.polyfit(times, energies - energies[0], 1)[0]
    return slope * 1e3 / len(atoms)
