"""Atoms and cell together: the logarithm of the deformation gives three more rows.

The coordinates are those of ASE's FrechetCellFilter. With F = exp(U), a cell becomes cell0 F^T and
an atom x = z F^T, where z are its coordinates in the first cell (E. B. Tadmor, G. S. Smith,
N. Bernstein, E. Kaxiras, Phys. Rev. B 59, 235 (1999)). dE/dU is the adjoint of the Fréchet
derivative of exp, applied to dE/dF (A. H. Al-Mohy, N. J. Higham, SIAM J. Matrix Anal. Appl. 30,
1639 (2009)). U is symmetric here, so that the cell does not rotate.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from scipy.linalg import expm, expm_frechet

from torchml.inference.evaluation import Evaluation
from torchml.relaxation.coordinates import FreeAtoms
from torchml.relaxation.optimizer import Rows
from torchml.relaxation.options import STRAINS, CellOptions
from torchml.voigt import COLUMNS, ROWS


class AtomsAndCell:
    """Free atoms and the strain of the cell; fixed atoms keep their fractional coordinates.

    The rows of the strain are multiplied by the number of atoms, and their forces divided by it:
    like the force on an atom, they do not grow with the cell.

    Args:
        atoms: the structure, which `move` changes; its cell has a volume.
        options: which strains, and the pressure.
    """

    def __init__(self, atoms: Atoms, options: CellOptions) -> None:
        self.atoms = atoms
        self.free = FreeAtoms(atoms).free
        self._options = options
        self._factor = float(len(atoms))
        self._cell = atoms.cell.array.copy()
        self._reference = atoms.positions.copy()  # z
        self._log = np.zeros((3, 3))  # U
        self._mask = np.zeros((3, 3))
        for name, row, column in zip(STRAINS, ROWS, COLUMNS, strict=True):
            self._mask[row, column] = self._mask[column, row] = name in options.components

    def rows(self) -> Rows:
        return np.concatenate([self._reference[self.free], self._factor * self._log])

    def move(self, rows: Rows) -> None:
        self._reference[self.free] = rows[:-3]
        self._log = rows[-3:] / self._factor
        deformation = expm(self._log)
        self.atoms.cell[:] = self._cell @ deformation.T
        self.atoms.positions[:] = self._reference @ deformation.T

    def energy(self, evaluation: Evaluation) -> float:
        assert evaluation.energy is not None
        return evaluation.energy + self._options.scalar_pressure * float(self.atoms.cell.volume)

    def forces(self, evaluation: Evaluation) -> Rows:
        assert evaluation.forces is not None and evaluation.stress is not None
        deformation = expm(self._log)
        stress = np.empty((3, 3))
        stress[ROWS, COLUMNS] = stress[COLUMNS, ROWS] = evaluation.stress
        stress += self._options.scalar_pressure * np.eye(3)
        # dE/dF of the minimised energy, with the sign of a force
        pull = -float(self.atoms.cell.volume) * stress @ np.linalg.inv(deformation).T
        pull = expm_frechet(self._log.T, pull, compute_expm=False)
        return np.concatenate(
            [evaluation.forces[self.free] @ deformation, self._allowed(pull) / self._factor]
        )

    def _allowed(self, pull: Rows) -> Rows:
        """Keep the part along the strains that may change."""
        allowed: Rows = self._mask * (pull + pull.T) / 2
        if self._options.isotropic:
            allowed = np.eye(3) * (np.trace(pull) / 3)
        return allowed
