"""The energy along a path of structures, and where it or its slope jumps.

The integral of the slope is the difference of the energies. Each interval of the path is halved
until Simpson's rule gives its difference; where an interval stays wrong however short it becomes,
the energy or its slope jumps. Adaptive integration: W. M. McKeeman, Commun. ACM 5, 604 (1962).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from torchml.reference.agreement import Check

ENERGY_JUMP = 1e-4  # eV
SLOPE_JUMP = 1e-3  # eV per unit of the path
# Steep parts of a curve: shares of the change of the energy, and of the slope.
ENERGY_SHARE, SLOPE_SHARE = 1e-3, 3e-3
SHORTEST = 1e-6  # of all intervals, in units of the path
MOST_EVALUATIONS = 800

# Energy (eV) and its derivative at a place of the path.
Path = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class Jump:
    """A place where a curve is not smooth.

    Attributes:
        place: on the axis of the curve.
        energy: height of the step (eV).
        slope: change of the slope (eV per unit of the axis).
    """

    place: float
    energy: float
    slope: float


@dataclass
class Curve:
    """Energies along a path.

    Attributes:
        kind: what the path is, such as "dimer curve".
        name: of the structure.
        axis: quantity and unit of the path, such as "distance (Å)".
        points: energy (eV) and slope by place.
        jumps: where the curve is not smooth.
        marks: places of the axis that a plot names, such as the cutoff.
    """

    kind: str
    name: str
    axis: str
    points: dict[float, tuple[float, float]] = field(default_factory=dict)
    jumps: list[Jump] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)

    def check(self) -> Check:
        """Return the check of its smoothness."""
        name = f"smooth {self.kind}"
        if not self.jumps:
            low, high = min(self.points), max(self.points)
            return Check(name, "pass", f"{self.axis}: {low:.3g} to {high:.3g}", self.name)
        worst = max(self.jumps, key=lambda jump: (abs(jump.energy), abs(jump.slope)))
        detail = (
            f"energy and slope jump by {worst.energy:.1e} eV and {worst.slope:.1e} at "
            f"{worst.place:.6g}, {self.axis}"
        )
        if not math.isfinite(worst.energy):
            detail = f"the energy is not finite at {worst.place:.6g}, {self.axis}"
        return Check(name, "fail", detail, self.name)


def follow(curve: Curve, path: Path, start: float, end: float, points: int, epsilon: float) -> None:
    """Evaluate a path where the curve needs it, and find its jumps.

    Args:
        curve: receives points and jumps.
        path: the energy and its derivative.
        start: of the path.
        end: of the path.
        points: equal intervals at the beginning.
        epsilon: relative rounding error of the energy.
    """

    def at(place: float) -> tuple[float, float]:
        if place not in curve.points:
            curve.points[place] = path(place)
        return curve.points[place]

    grid = np.linspace(start, end, points + 1).tolist()
    waiting = list(itertools.pairwise(grid))
    while waiting:
        low, high = waiting.pop()
        middle = (low + high) / 2
        values = [at(place) for place in (low, middle, high)]
        if not np.isfinite(values).all():
            curve.jumps.append(Jump(middle, math.inf, math.inf))
            return
        if _smooth(high - low, values, epsilon):
            continue
        if high - low < SHORTEST or len(curve.points) > MOST_EVALUATIONS:
            (first, before), _, (last, after) = values
            curve.jumps.append(Jump(middle, last - first, after - before))
        else:
            waiting += [(low, middle), (middle, high)]


def _smooth(width: float, values: list[tuple[float, float]], epsilon: float) -> bool:
    """Whether energy and slope of an interval follow a smooth function."""
    (first, before), (_, between), (last, after) = values
    integral = width / 6 * (before + 4 * between + after)
    rounding = 10 * epsilon * max(abs(first), abs(last))
    steepest = max(abs(before), abs(between), abs(after))
    return (
        abs(last - first - integral) <= ENERGY_JUMP + ENERGY_SHARE * abs(last - first) + rounding
        and abs(between - (before + after) / 2) <= SLOPE_JUMP + SLOPE_SHARE * steepest
    )
