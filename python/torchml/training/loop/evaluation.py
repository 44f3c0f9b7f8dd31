"""What one validation or test collects: the terms of the loss, and the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from torchml.data.batch import GraphBatch
from torchml.training.loop.prediction import Prediction
from torchml.training.loop.terms import RunningMean, Sum


class Evaluation:
    """Means over all batches and ranks.

    It is no part of the task's modules: every step of a training walks through these, and the
    metrics are many more than the layers of a network.

    Args:
        terms: names of the terms of the loss.
        metrics: the metrics, `update(batch, prediction)`.
        device: where they are computed.
    """

    def __init__(
        self, terms: Iterable[str], metrics: MetricCollection, device: torch.device
    ) -> None:
        self.metrics = metrics.to(device)
        self._means = {name: RunningMean().to(device) for name in terms}

    def update(self, parts: Mapping[str, Sum], batch: GraphBatch, prediction: Prediction) -> None:
        """Add one batch: the sums of its terms, its labels, and what was predicted."""
        for name, part in parts.items():
            self._means[name].update(part)
        self.metrics.update(batch, prediction)

    def losses(self) -> dict[str, Tensor]:
        """The mean of each term."""
        return {name: mean.compute() for name, mean in self._means.items()}
