"""The function that evaluates a structure, its results, and structures that are strained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from torchml.inference.evaluation import Evaluation

Evaluate = Callable[[Atoms], Evaluation]


def energy_of(evaluation: Evaluation) -> float:
    """Return the energy (eV) of an evaluation that contains it."""
    assert evaluation.energy is not None
    return evaluation.energy


def forces_of(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return the forces (eV/Å) of an evaluation that contains them."""
    assert evaluation.forces is not None
    return evaluation.forces


def virial_of(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return the virial (eV) of an evaluation that contains it."""
    assert evaluation.virial is not None
    return evaluation.virial


def deformed(atoms: Atoms, deformation: NDArray[Any]) -> Atoms:
    """Return a structure whose cell and positions are multiplied by a matrix [3, 3]."""
    result: Atoms = atoms.copy()
    result.set_cell(atoms.cell.array @ deformation)
    result.positions = atoms.positions @ deformation
    return result


def strained(atoms: Atoms, row: int, column: int, size: float) -> Atoms:
    """Return a structure under one symmetric component of strain, of this size."""
    deformation = np.eye(3)
    deformation[row, column] += size / 2
    deformation[column, row] += size / 2
    return deformed(atoms, deformation)
