"""Distributions of labels and errors in bounded memory, the same for any order of the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 20_000
"""Largest number of points that a parity plot keeps one by one."""

_CELLS = 160  # of the range of the labels, at most
_MOST_CELLS = 4 * _CELLS**2


class LogHistogram:
    """Numbers of errors in bins of equal ratio, 20 for each factor of ten."""

    PER_DECADE = 20
    LOWEST, HIGHEST = -9, 6  # powers of ten; the first and the last bin also have what is beyond

    def __init__(self) -> None:
        self.counts = np.zeros((self.HIGHEST - self.LOWEST) * self.PER_DECADE, dtype=np.int64)

    def add(self, errors: NDArray[np.float64]) -> None:
        """Add errors of 0 or more, in any shape; NaN counts as infinite."""
        with np.errstate(divide="ignore"):
            powers = np.log10(np.where(np.isnan(errors), np.inf, errors).ravel())
        bins = np.floor((powers - self.LOWEST) * self.PER_DECADE)
        bins = np.clip(bins, 0, len(self.counts) - 1).astype(np.int64)
        self.counts += np.bincount(bins, minlength=len(self.counts))

    def merge(self, other: LogHistogram) -> None:
        self.counts += other.counts

    @property
    def edges(self) -> NDArray[np.float64]:
        """Limits of the bins, one more than there are bins."""
        powers: NDArray[np.float64] = (
            self.LOWEST + np.arange(len(self.counts) + 1) / self.PER_DECADE
        )
        return 10.0**powers

    def quantile(self, share: float) -> float:
        """Return the error below which this share lies; exact to the width of a bin, 12 %."""
        bin_ = int(np.searchsorted(np.cumsum(self.counts), share * self.counts.sum()))
        return float(np.sqrt(self.edges[bin_] * self.edges[bin_ + 1]))


class Parity:
    """Pairs of label and prediction: each one up to a number, then how many are in each cell.

    Cells are squares whose side is a power of two, so that two of them are merged without
    rounding, and the side depends on the range of the labels alone.

    Attributes:
        points: float64[n, 2], label and prediction; empty once cells are counted.
        cells: int64[m, 2], occupied cells; their lower corners are cells * side.
        counts: int64[m], pairs in each of them.
        level: the side is 2**level.
    """

    def __init__(self) -> None:
        self.points = np.empty((0, 2))
        self.cells = np.empty((0, 2), dtype=np.int64)
        self.counts = np.empty(0, dtype=np.int64)
        self.level = -40
        self._low, self._high = np.inf, -np.inf

    def __len__(self) -> int:
        return len(self.points) + int(self.counts.sum())

    @property
    def side(self) -> float:
        """Length of a side of the cells."""
        return float(2.0**self.level)

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest label."""
        return self._low, self._high

    def add(self, labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> None:
        """Add pairs, in any shape; those whose prediction is not finite are left out."""
        points = np.stack([labels.ravel(), predictions.ravel()], axis=1)
        points = points[np.isfinite(points).all(axis=1)]
        if len(points):
            self._extend(points[:, 0].min(), points[:, 0].max())
            self._put(points)

    def merge(self, other: Parity) -> None:
        """Add the pairs of another part of the data set."""
        if not len(other):
            return
        self._extend(other._low, other._high)
        if len(other.counts):
            self._bin_points()
            self._raise_level(other.level)
            self._count(other.cells >> (self.level - other.level), other.counts)
        else:
            self._put(other.points)

    def _extend(self, low: float, high: float) -> None:
        self._low, self._high = min(self._low, low), max(self._high, high)
        extent = max(self._high - self._low, 1e-9 * max(abs(self._low), abs(self._high)), 1e-9)
        self._raise_level(int(np.ceil(np.log2(extent / _CELLS))))

    def _put(self, points: NDArray[np.float64]) -> None:
        if not len(self.counts) and len(self.points) + len(points) <= MOST_POINTS:
            self.points = np.concatenate([self.points, points])
            return
        self._bin_points()
        self._count(self._cells_of(points), np.ones(len(points), dtype=np.int64))

    def _bin_points(self) -> None:
        points, self.points = self.points, np.empty((0, 2))
        if len(points):
            self._count(self._cells_of(points), np.ones(len(points), dtype=np.int64))

    def _cells_of(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        limit = 2.0**60
        return np.clip(np.floor(points / self.side), -limit, limit).astype(np.int64)

    def _raise_level(self, level: int) -> None:
        if level > self.level:
            self.cells >>= level - self.level
            self.level = level
            self._count(self.cells[:0], self.counts[:0])

    def _count(self, cells: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Add counts of cells, and merge equal ones."""
        cells = np.concatenate([self.cells, cells])
        counts = np.concatenate([self.counts, counts])
        if not len(cells):
            return
        self.cells, inverse = np.unique(cells, axis=0, return_inverse=True)
        self.counts = np.bincount(inverse.ravel(), counts).astype(np.int64)
        if len(self.cells) > _MOST_CELLS:  # predictions far from all labels
            self._raise_level(self.level + 1)
