"""Forces and virial are derivatives of the energy.

Each check evaluates a structure and returns the largest relative difference.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

from torchml.reference.agreement import difference
from torchml.reference.physics.evaluating import (
    Evaluate,
    energy_of,
    forces_of,
    strained,
    virial_of,
)
from torchml.voigt import COLUMNS, ROWS

SEED = 17
SAMPLED_COORDINATES = 6


def finite_difference_forces(evaluate: Evaluate, atoms: Atoms, step: float) -> float:
    """Compare forces on a few random coordinates with central differences of the energy.

    Args:
        evaluate: returns the evaluation of a structure.
        atoms: the structure.
        step: displacement of a coordinate, Å.
    """
    forces = forces_of(evaluate(atoms))
    rng = np.random.default_rng(SEED)
    chosen = rng.permutation(3 * len(atoms))[:SAMPLED_COORDINATES]
    found, expected = [], []
    for atom, axis in zip(*np.divmod(chosen, 3), strict=True):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(energy_of(evaluate(moved)))
        expected.append((energies[1] - energies[0]) / (2 * step))
        found.append(forces[atom, axis])
    # Differences are relative to the largest of all forces, not of the sampled ones.
    largest = float(np.abs(forces).max()) if len(atoms) else 0.0
    return difference([*found, largest], [*expected, largest])


def finite_difference_virial(evaluate: Evaluate, atoms: Atoms, strain: float) -> float:
    """Compare the virial with central differences of the energy under strain.

    Args:
        evaluate: returns the evaluation of a structure, virial included.
        atoms: the structure; cell and positions are strained.
        strain: its size, without unit.
    """
    expected = []
    for row, column in zip(ROWS, COLUMNS, strict=True):
        above, below = (
            energy_of(evaluate(strained(atoms, row, column, sign * strain))) for sign in (1, -1)
        )
        expected.append((above - below) / (2 * strain))
    return difference(virial_of(evaluate(atoms)), expected, len(atoms))
