"""The energy along a path of structures, and where it or its slope jumps.

The integral of the slope is the difference of the energies. Each interval of the path is halved
until Simpson's rule gives its difference; one that stays wrong however short it becomes contains a
jump of the energy or of its slope, and where all stay wrong, the slope is not that of the energy.
Adaptive integration: W. M. McKeeman, Commun. ACM 5, 604 (1962).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from torchml.reference.agreement import Check

ENERGY_JUMP = 1e-4  # eV
SLOPE_JUMP = 1e-3  # eV per unit of the path
SLOPE_SHARE = 3e-3  # of the slope, where a curve is steep
BEND = 0.01  # share of the slope by which it may differ from a straight line within an interval
SHORTEST = 1e-6  # of all intervals, in units of the path
MOST_EVALUATIONS = 1500
MOST_UNEXPLAINED = 20  # shortest intervals that are wrong without a jump

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
        fault: what else is wrong with it, as a sentence.
        is_resolved: whether its evaluations sufficed.
    """

    kind: str
    name: str
    axis: str
    points: dict[float, tuple[float, float]] = field(default_factory=dict)
    jumps: list[Jump] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    fault: str = ""
    is_resolved: bool = True

    def check(self) -> Check:
        """Return the check of its smoothness."""
        name = f"smooth {self.kind}"
        if self.fault:
            return Check(name, "fail", self.fault, self.name)
        if not self.jumps and not self.is_resolved:
            detail = f"the energy varies too much to be followed with {MOST_EVALUATIONS} points"
            return Check(name, "warn", detail, self.name)
        if not self.jumps:
            return Check(name, "pass", "", self.name)
        worst = max(self.jumps, key=lambda jump: (abs(jump.energy), abs(jump.slope)))
        detail = (
            f"energy and slope jump by {worst.energy:.1e} eV and {worst.slope:.1e} at "
            f"{worst.place:.6g}, {self.axis}"
        )
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
    unexplained = 0
    while waiting:
        low, high = waiting.pop()
        middle = (low + high) / 2
        values = [at(place) for place in (low, middle, high)]
        if not np.isfinite(values).all():
            curve.fault = f"the energy or its slope is not finite at {middle:.6g}, {curve.axis}"
            return
        if _smooth(high - low, values, epsilon):
            continue
        if high - low >= SHORTEST:
            waiting += [(low, middle), (middle, high)]
        elif jump := _jump(low, high, values):
            curve.jumps.append(jump)
        else:
            unexplained += 1
        if unexplained > MOST_UNEXPLAINED:
            curve.fault = f"the slope is not that of the energy at {middle:.6g}, {curve.axis}"
            return
        if len(curve.points) > MOST_EVALUATIONS:
            curve.is_resolved = False
            return


def _smooth(width: float, values: list[tuple[float, float]], epsilon: float) -> bool:
    """Whether energy and slope of an interval follow a smooth function."""
    (first, before), (_, between), (last, after) = values
    wrong = abs(last - first - width / 6 * (before + 4 * between + after))
    rounding = 10 * epsilon * max(abs(first), abs(last))
    steepest = max(abs(before), abs(between), abs(after))
    # In the middle, a cubic through the energies and slopes of the ends has another slope by this.
    slope_error = 1.5 * max(wrong - rounding, 0.0) / width
    bend = abs(between - (before + after) / 2)
    return (
        slope_error <= SLOPE_JUMP + SLOPE_SHARE * steepest and bend <= SLOPE_JUMP + BEND * steepest
    )


def _jump(low: float, high: float, values: list[tuple[float, float]]) -> Jump | None:
    """The jump in the shortest of all intervals, unless it is too small to count."""
    (first, before), _, (last, after) = values
    step = last - first - (high - low) * (before + after) / 2
    change = after - before
    steepest = max(abs(before), abs(after))
    if abs(step) <= ENERGY_JUMP and abs(change) <= SLOPE_JUMP + SLOPE_SHARE * steepest:
        return None
    return Jump((low + high) / 2, float(step), float(change))
