"""Between a structure and the rows that an optimiser moves."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from ase import Atoms

from torchml.data.atoms import fixed_of, other_constraint
from torchml.errors import DataError
from torchml.inference.evaluation import Evaluation
from torchml.relaxation.optimizer import Rows


class Coordinates(Protocol):
    """The degrees of freedom of a structure as rows [n, 3]."""

    def rows(self) -> Rows:
        """Return the present rows, Å."""

    def move(self, rows: Rows) -> None:
        """Change the structure."""

    def energy(self, evaluation: Evaluation) -> float:
        """Return what is minimised, eV."""

    def forces(self, evaluation: Evaluation) -> Rows:
        """Return its negative derivative with respect to the rows, eV/Å."""


class FreeAtoms:
    """The atoms that no constraint fixes, in a cell that stays.

    Args:
        atoms: the structure, which `move` changes.

    Raises:
        DataError: it has a constraint of another kind than fixed atoms.
    """

    def __init__(self, atoms: Atoms) -> None:
        self.atoms = atoms
        self.free = ~fixed_atoms(atoms)

    def rows(self) -> Rows:
        return np.array(self.atoms.positions[self.free])

    def move(self, rows: Rows) -> None:
        self.atoms.positions[self.free] = rows

    def energy(self, evaluation: Evaluation) -> float:
        assert evaluation.energy is not None
        return evaluation.energy

    def forces(self, evaluation: Evaluation) -> Rows:
        assert evaluation.forces is not None
        return evaluation.forces[self.free]


def fixed_atoms(atoms: Atoms) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return the atoms that do not move, bool[N].

    Raises:
        DataError: the structure has a constraint of another kind.
    """
    check_constraint(other_constraint(atoms.constraints))
    fixed = fixed_of(atoms)
    return np.zeros(len(atoms), dtype=bool) if fixed is None else fixed


def check_constraint(name: str | None) -> None:
    """Raise DataError if there is a constraint of another kind than fixed atoms."""
    if name is not None:
        raise DataError(
            f"a structure has the constraint {name}, expected FixAtoms: atoms that do not move at "
            "all"
        )
