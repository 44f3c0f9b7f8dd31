"""Checks that hold for any potential: derivatives of the energy, and symmetries of space.

Each check evaluates a structure and returns the largest relative difference.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from torchml.inference.evaluation import Evaluation
from torchml.reference.agreement import Agreement, difference
from torchml.voigt import COLUMNS, ROWS

Evaluate = Callable[[Atoms], Evaluation]

SEED = 17
SAMPLED_COORDINATES = 6


def finite_difference_forces(evaluate: Evaluate, atoms: Atoms, step: float) -> float:
    """Compare forces on a few random coordinates with central differences of the energy.

    Args:
        evaluate: returns the evaluation of a structure.
        atoms: the structure.
        step: displacement of a coordinate, Å.
    """
    forces = _forces(evaluate(atoms))
    rng = np.random.default_rng(SEED)
    chosen = rng.permutation(3 * len(atoms))[:SAMPLED_COORDINATES]
    found, expected = [], []
    for atom, axis in zip(*np.divmod(chosen, 3), strict=True):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(_energy(evaluate(moved)))
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
    virial = evaluate(atoms).virial
    assert virial is not None
    expected = []
    for row, column in zip(ROWS, COLUMNS, strict=True):
        energies = []
        for sign in (1, -1):
            deformation = np.eye(3)
            deformation[row, column] += sign * strain / 2
            deformation[column, row] += sign * strain / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ deformation)
            strained.positions = atoms.positions @ deformation
            energies.append(_energy(evaluate(strained)))
        expected.append((energies[0] - energies[1]) / (2 * strain))
    return difference(virial, expected, len(atoms))


def rotation(evaluate: Evaluate, atoms: Atoms) -> float:
    """Compare with a rotated structure: same energy, rotated forces."""
    q, r = np.linalg.qr(np.random.default_rng(SEED).normal(size=(3, 3)))
    turn = q * np.sign(np.diag(r))
    turn[:, 0] *= np.sign(np.linalg.det(turn))
    rotated = atoms.copy()
    rotated.set_cell(atoms.cell.array @ turn)
    rotated.positions = atoms.positions @ turn
    before, after = evaluate(atoms), evaluate(rotated)
    return max(
        difference(_energy(after), _energy(before), len(atoms)),
        difference(_forces(after), _forces(before) @ turn),
    )


def translation(evaluate: Evaluate, atoms: Atoms) -> float:
    """Compare with a shifted structure: same energy and forces, across boundaries too."""
    shifted = atoms.copy()
    shifted.positions += np.random.default_rng(SEED).uniform(-7, 7, size=3)
    before, after = evaluate(atoms), evaluate(shifted)
    return max(
        difference(_energy(after), _energy(before), len(atoms)),
        difference(_forces(after), _forces(before)),
    )


def permutation(evaluate: Evaluate, atoms: Atoms) -> float:
    """Compare with reordered atoms: same energy, reordered forces."""
    order = np.random.default_rng(SEED).permutation(len(atoms))
    before, after = evaluate(atoms), evaluate(atoms[order])
    return max(
        difference(_energy(after), _energy(before), len(atoms)),
        difference(_forces(after), _forces(before)[order]),
    )


def replication(evaluate: Evaluate, atoms: Atoms) -> float:
    """Compare with a cell doubled along a periodic direction: twice the energy, same forces."""
    repeats = np.ones(3, dtype=int)
    repeats[int(np.argmax(atoms.pbc))] = 2
    once, twice = evaluate(atoms), evaluate(atoms.repeat(tuple(repeats)))
    return max(
        difference(_energy(twice), 2 * _energy(once), 2 * len(atoms)),
        difference(_forces(twice), np.tile(_forces(once), (2, 1))),
    )


def checks_for(atoms: Atoms, allowed: Agreement) -> dict[str, tuple[Callable[..., float], float]]:
    """Return the checks that apply to a structure.

    Returns:
        Function and tolerance by name; the function takes the evaluator and the structure.
    """
    found: dict[str, tuple[Callable[..., float], float]] = {
        "forces = -dE/dx": (
            lambda e, a: finite_difference_forces(e, a, allowed.step),
            allowed.derivative,
        ),
        "virial = dE/dstrain": (
            lambda e, a: finite_difference_virial(e, a, allowed.strain),
            allowed.derivative,
        ),
        "rotation": (rotation, allowed.symmetry),
        "translation": (translation, allowed.symmetry),
        "permutation": (permutation, allowed.symmetry),
    }
    if atoms.pbc.any():
        found["replication"] = (replication, allowed.symmetry)
    return found


def _energy(evaluation: Evaluation) -> float:
    assert evaluation.energy is not None
    return evaluation.energy


def _forces(evaluation: Evaluation) -> NDArray[np.float64]:
    assert evaluation.forces is not None
    return evaluation.forces
