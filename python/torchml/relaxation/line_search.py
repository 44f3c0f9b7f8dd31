"""Search along a direction for a point that satisfies the strong Wolfe conditions.

J. Nocedal, S. J. Wright, Numerical Optimization, 2nd edition, algorithms 3.5 and 3.6, with cubic
interpolation (equation 3.59).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

_TRIALS = 12
# Energies of models in single precision differ by about this part of them.
_NOISE = 1e-7


@dataclass(frozen=True)
class Point:
    """A place on the line: distance in units of the direction, energy, and its derivative."""

    at: float
    energy: float
    slope: float


def search(
    start: Point, first: float, longest: float, c1: float = 0.23, c2: float = 0.46
) -> Generator[float, Point, Point | None]:
    """Yield places to evaluate, get their points, and return the one to accept.

    Args:
        start: the point at 0; its slope is negative.
        first: place of the first trial.
        longest: largest place.
        c1: part of the decrease that the slope at 0 predicts, which is needed.
        c2: part of the slope at 0 that may be left.

    Returns:
        The accepted point, None if there is none after some trials.
    """
    noise = _NOISE * abs(start.energy)

    def too_high(point: Point) -> bool:
        return point.energy > start.energy + c1 * point.at * start.slope + noise

    low, high = start, None
    place = min(first, longest)
    for _ in range(_TRIALS):
        point = yield place
        if not np.isfinite(point.energy) or not np.isfinite(point.slope):
            return None
        if too_high(point) or point.energy > low.energy + noise:
            high = point
        elif abs(point.slope) <= -c2 * start.slope or (point.slope < 0 and point.at >= longest):
            return point
        else:
            if point.slope * ((high.at if high else longest) - low.at) > 0:
                high = low
            low = point
        place = _between(low, high) if high else min(2 * place, longest)
    return low if low is not start else None


def _between(a: Point, b: Point) -> float:
    """Return the minimum of the cubic through two points, not too near to either."""
    width = b.at - a.at
    d1 = a.slope + b.slope - 3 * (a.energy - b.energy) / (a.at - b.at)
    square = d1 * d1 - a.slope * b.slope
    part = 0.5
    if square >= 0:
        d2 = np.copysign(np.sqrt(square), width)
        if denominator := b.slope - a.slope + 2 * d2:
            part = 1 - (b.slope + d2 - d1) / denominator
    return float(a.at + width * min(max(part, 0.1), 0.9))
