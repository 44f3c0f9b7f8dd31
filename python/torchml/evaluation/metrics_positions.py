"""Metrics of relaxed structures (IS2RS): distances to where the reference relaxation ended.

ADwT, FbT and AFbT: L. Chanussot et al., ACS Catal. 11, 6059 (2021),
https://arxiv.org/abs/2010.09990. OCP's code computes ADwT alone: forces at relaxed positions were
computed with DFT, on a server.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.geometry import find_mic
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.evaluation.metrics import METRICS, Mean
from torchml.evaluation.metrics_sums import Sums

DISTANCE_THRESHOLDS = np.arange(0.01, 0.5, 0.001)
"""Å; the 490 thresholds of ADwT."""

FORCE_THRESHOLDS = np.arange(0.01, 0.4, 0.001)
"""eV/Å; the 390 thresholds of AFbT."""

FBT_THRESHOLD = 0.05
"""eV/Å; forces below this count as relaxed in FbT."""


@dataclass(frozen=True, eq=False)
class Relaxed:
    """Where a relaxation of a configuration ended.

    Attributes:
        positions: [N, 3], Å.
        energy: eV, at these positions.
        forces: [N, 3], eV/Å, at these positions, by the calculator that judges them.
    """

    positions: NDArray[np.float64]
    energy: float | None = None
    forces: NDArray[np.float64] | None = None


POSITION_METRICS: dict[str, Mean] = {
    **{name: metric.mean for name, metric in METRICS.items() if metric.needs == "energy"},
    **dict.fromkeys(("adwt", "adwt_minimum_image", "distance", "positions_mae"), "plain"),
    "positions_mse": "square",
    **dict.fromkeys(("fbt", "afbt"), "plain"),
}
"""energy_...              of the relaxed energies, as in `METRICS`
adwt                    share of 490 distances between 0.01 and 0.5 Å above the mean distance of the
                        free atoms, with OCP's difference by fractions
adwt_minimum_image      the same with minimum images
distance                Å, mean distance of free atoms, minimum images
positions_mae, ..._mse  Å, Å², over components of free atoms, minimum images
fbt                     share of structures whose forces on free atoms are below 0.05 eV/Å
afbt                    share of 390 forces between 0.01 and 0.4 eV/Å above the largest force on the
                        free atoms
"""


def add_relaxed(
    sums: Sums, configuration: Configuration, relaxed: Relaxed, free: NDArray[np.bool_]
) -> None:
    """Add the errors of one structure.

    Args:
        sums: of POSITION_METRICS.
        configuration: with relaxed positions.
        relaxed: the predicted ones.
        free: bool[N], the atoms that count; without any, the structure does not count.
    """
    if not free.any():
        return
    if configuration.relaxed_positions is not None:
        ocp = difference_by_fractions(configuration, relaxed.positions)[free]
        nearest = minimum_image_difference(configuration, relaxed.positions)[free]
        lengths = np.linalg.norm(nearest, axis=1)
        sums.add("adwt", np.linalg.norm(ocp, axis=1).mean() < DISTANCE_THRESHOLDS)
        sums.add("adwt_minimum_image", lengths.mean() < DISTANCE_THRESHOLDS)
        sums.add("distance", lengths)
        sums.add("positions_mae", np.abs(nearest))
        sums.add("positions_mse", nearest)
    if relaxed.forces is not None:
        largest = np.linalg.norm(relaxed.forces[free], axis=1).max()
        sums.add("fbt", [largest < FBT_THRESHOLD])
        sums.add("afbt", largest < FORCE_THRESHOLDS)


def difference_by_fractions(
    configuration: Configuration, positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return positions - relaxed positions as OCP defines it, Å: [N, 3].

    Fractional coordinates of the difference are wrapped to (-0.5, 0.5] along periodic vectors.
    In skewed cells that is not always the nearest image.
    """
    difference = positions - _relaxed_positions(configuration)
    if np.linalg.matrix_rank(configuration.cell) < 3:
        return difference
    fractions = np.linalg.solve(configuration.cell.T, difference.T).T
    # Twice: the remainder of a tiny negative number is rounded to 1.
    wrapped = np.where(configuration.pbc, (fractions % 1.0) % 1.0, fractions)
    nearest: NDArray[np.float64] = np.where(wrapped > 0.5, wrapped - 1, wrapped)
    return nearest @ configuration.cell


def minimum_image_difference(
    configuration: Configuration, positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return positions - relaxed positions of the nearest images, Å: [N, 3]."""
    difference = positions - _relaxed_positions(configuration)
    vectors: NDArray[np.float64] = find_mic(difference, configuration.cell, configuration.pbc)[0]
    return vectors


def _relaxed_positions(configuration: Configuration) -> NDArray[np.float64]:
    assert configuration.relaxed_positions is not None
    return configuration.relaxed_positions
