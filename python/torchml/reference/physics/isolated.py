"""Atoms without neighbours: each has a finite energy and no force, and the energies add up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from torchml.reference.agreement import difference
from torchml.reference.physics.evaluating import Evaluate, energy_of, forces_of

BEYOND = 1.5  # distance of atoms that do not see each other, in influence distances


def isolated_energies(evaluate: Evaluate, species: Sequence[str]) -> dict[str, float]:
    """Return the energy (eV) of one atom of each species."""
    return {symbol: energy_of(evaluate(Atoms([symbol]))) for symbol in species}


def isolated_atoms(evaluate: Evaluate, species: Sequence[str], reach: float) -> float:
    """Compare atoms of all species far apart with the same atoms alone; forces must be zero.

    Args:
        evaluate: returns the evaluation of a structure.
        species: chemical symbols.
        reach: influence distance of the model, Å.

    Returns:
        The largest relative difference; infinity if an energy is not finite.
    """
    positions = BEYOND * reach * np.arange(len(species))[:, None] * np.array([1.0, 0.0, 0.0])
    apart = evaluate(Atoms(list(species), positions=positions))
    alone = sum(isolated_energies(evaluate, species).values())
    return max(
        difference(energy_of(apart), alone, len(species)),
        difference(forces_of(apart), np.zeros((len(species), 3))),
    )
