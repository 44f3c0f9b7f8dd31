"""Limited-memory BFGS without line search.

J. Nocedal, Math. Comp. 35, 773 (1980). The sums of the two-loop recursion over earlier moves s and
changes of the gradient y are triangular systems with R[i, j] = s_i . y_j (R. H. Byrd, J. Nocedal,
R. B. Schnabel, Math. Program. 63, 129 (1994)): a step is a few products of matrices and vectors
instead of 4 x `memory` small operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtrs

from torchml.relaxation.optimizer import Optimizer, Rows, longest_row


class LBFGS(Optimizer):
    """L-BFGS with the options of OCP and ASE.

    Args:
        sizes: rows of each structure; several structures share one history.
        maxstep: longest move of a row, Å: the move of a structure is scaled as a whole.
        memory: number of remembered moves.
        damping: factor of each move, after it is scaled.
        alpha: curvature of the first move, eV/Å²: it is forces / alpha.
    """

    def __init__(
        self, sizes: Sequence[int], *, maxstep: float, memory: int, damping: float, alpha: float
    ) -> None:
        self._sizes = np.asarray(sizes)
        self._owner = np.repeat(np.arange(len(sizes)), self._sizes)
        self._maxstep, self._damping, self._alpha = maxstep, damping, alpha
        width = 3 * int(self._sizes.sum())
        self._s = np.empty((memory, width))
        self._y = np.empty((memory, width))
        self._products = np.zeros((memory, memory), order="F")  # R; its lower triangle is not used
        self._count = 0
        self._last: tuple[Rows, Rows] | None = None

    def step(self, positions: Rows, energy: float, forces: Rows) -> Rows:
        if self._last is not None:
            before, forces_before = self._last
            self._remember((positions - before).ravel(), (forces_before - forces).ravel())
        self._last = positions, forces
        move = self._direction(forces.ravel()).reshape(-1, 3)
        return positions + self._limited(move) * self._damping

    def _remember(self, s: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        curvature = s @ y
        if curvature == 0 or not np.isfinite(curvature):
            return  # the structure did not move: nothing is learned
        if self._count == len(self._s):
            for array in (self._s, self._y):
                array[:-1] = array[1:]
            self._products[:-1, :-1] = self._products[1:, 1:].copy()
            self._count -= 1
        m = self._count
        self._s[m], self._y[m] = s, y
        self._products[: m + 1, m] = self._s[: m + 1] @ y
        self._count += 1

    def _direction(self, forces: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the inverse Hessian times the forces."""
        m = self._count
        if m == 0:
            return forces / self._alpha
        s, y, products = self._s[:m], self._y[:m], self._products[:m, :m]
        first, _ = dtrtrs(products, s @ forces)
        direction: NDArray[np.float64] = (forces - first @ y) / self._alpha
        second, _ = dtrtrs(products, np.diagonal(products) * first - y @ direction, trans=1)
        direction += second @ s
        return direction

    def _limited(self, move: Rows) -> Rows:
        """Scale the move of each structure so that no row moves farther than maxstep."""
        if len(self._sizes) == 1:
            longest = longest_row(move)
            return move if longest < self._maxstep else move * (self._maxstep / longest)
        lengths = np.sqrt(np.einsum("ij,ij->i", move, move))
        most = np.full(len(self._sizes), self._maxstep)
        np.maximum.at(most, self._owner, lengths)
        return move * (self._maxstep / most)[self._owner, None]
