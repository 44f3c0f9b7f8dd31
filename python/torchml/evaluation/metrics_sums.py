"""Sums and counts of errors, from which metrics are averaged at the end."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from torchml.evaluation.metrics import METRICS, Comparison, Mean


class Sums:
    """The sum and the number of the errors of each metric.

    Parts of a data set have sums of their own, which `merge` adds; `values` divides once.

    Args:
        means: how each metric is averaged, by its name.
    """

    def __init__(self, means: Mapping[str, Mean]) -> None:
        self.means = means
        self.totals = dict.fromkeys(means, 0.0)
        self.counts = dict.fromkeys(means, 0)

    def add(self, name: str, errors: ArrayLike | Tensor) -> None:
        """Add errors of one metric, in any shape."""
        values = torch.as_tensor(errors).to(torch.float64)
        if self.means[name] != "plain":
            values = values.square()
        self.totals[name] += float(values.sum())
        self.counts[name] += values.numel()

    def merge(self, other: Sums) -> None:
        """Add the sums of another part of the data set."""
        for name in self.means:
            self.totals[name] += other.totals[name]
            self.counts[name] += other.counts[name]

    def values(self) -> dict[str, float]:
        """Return the metrics that have errors."""
        means = {name: self.totals[name] / count for name, count in self.counts.items() if count}
        return {
            name: mean**0.5 if self.means[name] == "root" else mean for name, mean in means.items()
        }


def add_comparison(sums: Sums, comparison: Comparison) -> None:
    """Add the errors of a comparison, of all metrics whose predictions are there."""
    is_there = {
        "energy": True,
        "forces": comparison.predicted_forces is not None,
        "stress": comparison.predicted_stress is not None,
    }
    for name in sums.means:
        if name in METRICS and is_there[METRICS[name].needs]:
            sums.add(name, METRICS[name].errors(comparison))
