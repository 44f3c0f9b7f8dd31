"""Errors by group of configurations, if the data have groups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from torchmetrics import MetricCollection

from torchml.data.batch import GraphBatch
from torchml.training.loop.metrics import make_metrics
from torchml.training.loop.prediction import Prediction

if TYPE_CHECKING:
    from torchml.data.module import Part

LIMIT = 12
"""Largest number of groups for which a table is printed."""


class GroupErrors(Callback):
    """Collect metrics by group in a test, validation or prediction; `table` has the result."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.table: dict[str, dict[str, float]] = {}
        self._names: list[str | None] = []
        self._metrics: dict[str, MetricCollection] = {}

    def _start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        configurations = trainer.datamodule.configurations(self.part)  # type: ignore[attr-defined]
        # Sequences that are read on demand are too long to look for names.
        if isinstance(configurations, list):
            self._names = [configuration.group for configuration in configurations]
        groups = sorted({name for name in self._names if name is not None})
        if 1 < len(groups) <= LIMIT:
            self._metrics = {name: make_metrics().to(pl_module.device) for name in groups}

    def _add(self, prediction: Any, batch: GraphBatch) -> None:
        if not self._metrics or not isinstance(prediction, Prediction):
            return
        if prediction.forces is None:
            prediction = replace(prediction, forces=torch.full_like(batch.forces, torch.nan))
            batch = replace(batch, forces=torch.full_like(batch.forces, torch.nan))
        groups = [self._names[k] for k in batch.index.tolist()]
        for name in {name for name in groups if name is not None}:
            flags = torch.tensor([group == name for group in groups], device=batch.real.device)
            self._metrics[name].update(replace(batch, real=batch.real & flags), prediction)

    def _end(self) -> None:
        for name, metrics in self._metrics.items():
            self.table[name] = {key: float(value) for key, value in metrics.compute().items()}

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start(trainer, pl_module)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start(trainer, pl_module)

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self._add(outputs, batch)

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self._add(outputs, batch)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._end()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._end()
