"""Symmetries of space and of equal atoms, which any potential has.

Each check evaluates a structure and returns the largest relative difference.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from torchml.reference.agreement import difference
from torchml.reference.physics.evaluating import Evaluate, deformed, energy_of, forces_of

SEED = 17


def rotation(evaluate: Evaluate, atoms: Atoms) -> float:
    """Compare with a rotated structure: same energy, rotated forces."""
    q, r = np.linalg.qr(np.random.default_rng(SEED).normal(size=(3, 3)))
    turn = q * np.sign(np.diag(r))
    turn[:, 0] *= np.sign(np.linalg.det(turn))
    return _compared(evaluate, atoms, deformed(atoms, turn), lambda forces: forces @ turn)


def inversion(evaluate: Evaluate, atoms: Atoms) -> float:
    """Compare with the structure mirrored at a point: same energy, opposite forces."""
    inverted = atoms.copy()
    inverted.positions *= -1
    return _compared(evaluate, atoms, inverted, np.negative)


def translation(evaluate: Evaluate, atoms: Atoms) -> float:
    """Compare with a shifted structure: same energy and forces, across boundaries too."""
    shifted = atoms.copy()
    shifted.positions += np.random.default_rng(SEED).uniform(-7, 7, size=3)
    return _compared(evaluate, atoms, shifted, np.asarray)


def permutation(evaluate: Evaluate, atoms: Atoms) -> float:
    """Compare with reordered atoms: same energy, reordered forces."""
    cycle = np.random.default_rng(SEED).permutation(len(atoms))
    order = np.empty_like(cycle)
    order[cycle] = np.roll(cycle, 1)  # no atom keeps its place
    return _compared(evaluate, atoms, atoms[order], lambda forces: forces[order])


def replication(evaluate: Evaluate, atoms: Atoms) -> float:
    """Compare with a cell doubled along a periodic direction: twice the energy, same forces."""
    repeats = np.ones(3, dtype=int)
    repeats[int(np.argmax(atoms.pbc))] = 2
    return _compared(evaluate, atoms, atoms.repeat(tuple(repeats)), lambda f: np.tile(f, (2, 1)))


def symmetries_of(atoms: Atoms) -> dict[str, Callable[[Evaluate, Atoms], float]]:
    """Return the checks that apply to a structure, by name."""
    found: dict[str, Callable[[Evaluate, Atoms], float]] = {
        "translation": translation,
        "rotation": rotation,
        "inversion": inversion,
        "permutation": permutation,
    }
    if atoms.pbc.any():
        found["replication"] = replication
    return found


def _compared(
    evaluate: Evaluate,
    atoms: Atoms,
    image: Atoms,
    mapped: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> float:
    """Compare the image of a structure with what the symmetry makes of its energy and forces."""
    before, after = evaluate(atoms), evaluate(image)
    copies = len(image) // max(len(atoms), 1)
    return max(
        difference(energy_of(after), copies * energy_of(before), len(image)),
        difference(forces_of(after), mapped(forces_of(before))),
    )
