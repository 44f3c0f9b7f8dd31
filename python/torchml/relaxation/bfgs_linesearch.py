"""BFGS with a line search: each step lowers the energy.

J. Nocedal, S. J. Wright, Numerical Optimization, 2nd edition, algorithm 6.1.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from torchml.relaxation.line_search import Point, search
from torchml.relaxation.optimizer import Optimizer, Rows, longest_row


class LineSearchBFGS(Optimizer):
    """BFGS with the full inverse Hessian, so it suits structures of up to about 1,000 atoms.

    A step is one line, along which some points are evaluated.

    Args:
        maxstep: longest move of a row in a step, Å.
        alpha: curvature of the first step, eV/Å².
    """

    def __init__(self, *, maxstep: float, alpha: float) -> None:
        self._maxstep, self._alpha = maxstep, alpha
        self._inverse: NDArray[np.float64] | None = None
        self._search: Generator[float, Point, Point | None] | None = None
        self._place = 0.0  # on the line, of the present trial

    def retry(self, positions: Rows, energy: float, forces: Rows) -> Rows | None:
        if self._search is None:
            return None
        slope = -float(np.vdot(forces, self._direction))
        try:
            place = self._search.send(Point(self._place, energy, slope))
        except StopIteration as end:
            return self._end(end.value, positions, forces)
        self._place = place
        return self._origin + place * self._direction

    def _end(self, accepted: Point | None, positions: Rows, forces: Rows) -> Rows | None:
        """Leave the line: at the present point, or at an earlier one, which is evaluated again."""
        self._search = None
        if accepted is not None and accepted.at == self._place:
            self._update((positions - self._origin).ravel(), (self._forces - forces).ravel())
            return None
        self._inverse = None  # it was wrong: begin again with the forces as direction
        return self._origin + (accepted.at if accepted else 0.0) * self._direction

    def step(self, positions: Rows, energy: float, forces: Rows) -> Rows:
        self._origin, self._forces = positions, forces
        direction = forces / self._alpha
        if self._inverse is not None:
            direction = (self._inverse @ forces.ravel()).reshape(-1, 3)
            if np.vdot(direction, forces) <= 0:  # uphill
                self._inverse, direction = None, forces / self._alpha
        self._direction = direction
        longest = self._maxstep / max(longest_row(direction), 1e-300)
        start = Point(0.0, energy, -float(np.vdot(direction, forces)))
        self._search = search(start, 1.0, longest)
        self._place = next(self._search)
        return positions + self._place * direction

    def _update(self, s: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        """Learn the curvature between two points, which the line search made positive."""
        curvature = s @ y
        if curvature <= 1e-12 * np.linalg.norm(s) * np.linalg.norm(y):
            return
        if self._inverse is None:
            self._inverse = np.eye(len(s)) / self._alpha
        h = self._inverse
        hy = h @ y
        h += np.outer(s, s) * ((1 + y @ hy / curvature) / curvature)
        h -= (np.outer(hy, s) + np.outer(s, hy)) / curvature
