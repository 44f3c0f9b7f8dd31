"""What all optimisers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]


class Optimizer(ABC):
    """The state of one relaxation: it gets energy and forces, and returns new positions.

    Positions and forces are rows [n, 3]: free atoms, and three rows of the strain if the cell
    relaxes.
    """

    def retry(self, positions: Rows, energy: float, forces: Rows) -> Rows | None:
        """Return another trial position [n, 3]; None if the present one ends a step."""
        return None

    @abstractmethod
    def step(self, positions: Rows, energy: float, forces: Rows) -> Rows:
        """Return the positions [n, 3] to evaluate next.

        Args:
            positions: [n, 3], Å.
            energy: at these positions, eV.
            forces: at these positions, [n, 3], eV/Å.
        """


def longest_row(rows: Rows) -> float:
    """Return the largest norm of a row, 0 without rows."""
    return float(np.sqrt(np.einsum("ij,ij->i", rows, rows).max(initial=0.0)))
