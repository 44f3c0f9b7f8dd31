"""The terms of a loss: weighted means over configurations, atoms or edges, exact on many ranks."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


@dataclass
class Sum:
    """Sum over the rows of a batch, and their number; both 0-dim tensors."""

    total: Tensor
    count: Tensor

    def mean(self) -> Tensor:
        """Mean over these rows; 0 where there are none."""
        return self.total / self.count.clamp(min=1)


class Term(torch.nn.Module):
    """coefficient * mean of loss(prediction, label) over all labels that exist.

    `loss` may be any loss of torch, or any module that returns one value per row or entry when its
    attribute `reduction` is "none". A module without this attribute returns a mean, which counts
    as that of all rows: then rows without labels are ignored, and their weights must be one.
    """

    def __init__(self, loss: torch.nn.Module, coefficient: float) -> None:
        super().__init__()
        self.loss: Any = copy.deepcopy(loss)
        self.coefficient = float(coefficient)
        self.reduces = not hasattr(loss, "reduction")
        if not self.reduces:
            self.loss.reduction = "none"  # type: ignore[assignment]

    def forward(self, prediction: Tensor, label: Tensor, weight: Tensor) -> Sum:
        """Weighted loss of the rows whose labels are numbers and whose weights are not zero.

        Args:
            prediction: float[n] or float[n, k].
            label: the same shape; rows with NaN are ignored.
            weight: float[n].
        """
        known = torch.isfinite(label) if label.ndim == 1 else torch.isfinite(label).all(1)
        known = known & (weight != 0)
        if self.reduces:
            count = known.sum().to(prediction.dtype)
            if not known.any():
                return Sum(prediction.sum() * 0.0, count)
            return Sum(self.loss(prediction[known], label[known]) * count, count)
        rows = known if label.ndim == 1 else known.unsqueeze(1)
        # What is not known is compared with itself: without NaN in values or gradients.
        prediction = torch.where(rows, prediction, torch.zeros_like(prediction))
        label = torch.where(rows, label.to(prediction.dtype), prediction.detach())
        values: Tensor = self.loss(prediction, label)
        values = values.reshape(values.size(0), -1).mean(1)
        weight = torch.where(known, weight, torch.zeros_like(weight)).to(values.dtype)
        return Sum((values * weight).sum(), known.sum().to(values.dtype))


class RunningMean(Metric):
    """Mean of a term over many batches and all ranks.

    torchmetrics' own MeanMetric gives all ranks the same weight, however many rows they have.
    """

    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        zero = torch.zeros((), dtype=torch.float64)
        self.add_state("total", zero.clone(), dist_reduce_fx="sum")
        self.add_state("count", zero.clone(), dist_reduce_fx="sum")

    def update(self, part: Sum) -> None:
        """Add what one batch has."""
        self.total += part.total.detach().to(torch.float64)
        self.count += part.count.to(torch.float64)

    def compute(self) -> Tensor:
        """The mean over everything; 0 where there is nothing."""
        return Sum(self.total, self.count).mean()


def global_mean(part: Sum) -> Tensor:
    """Mean whose gradient, averaged over all ranks, is that of the mean over all rows.

    Data-parallel training averages the gradients of the ranks, which is right only if all ranks
    have equally many rows: here each rank divides by its share of the rows of all ranks.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return part.mean()
    count = part.count.detach().clone()
    torch.distributed.all_reduce(count)
    return part.total * torch.distributed.get_world_size() / count.clamp(min=1)
