"""Write the predictions of a model beside the labels into one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from torchmetrics import MetricCollection

from torchml.data.batch import GraphBatch
from torchml.data.configuration import Configuration
from torchml.data.writing import write_extxyz
from torchml.evaluation.predicted_files import with_predictions
from torchml.training.loop.metrics import make_metrics
from torchml.training.loop.prediction import Prediction

Columns = dict[str, Any]


class WritePredictions(Callback):
    """Write extended XYZ with the labels of the input and predicted_energy, predicted_forces, ...

    The order is that of the input, on any number of ranks. Further targets of configurations and
    atoms are written too, those of edges are not. `metrics` has the errors against the labels.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics: dict[str, float] = {}
        self._collection: MetricCollection | None = None
        self._predictions: dict[int, Columns] = {}

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: GraphBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        prediction: Prediction = outputs
        if self._collection is None:
            self._collection = make_metrics(
                forces=prediction.forces is not None, stress=prediction.stress is not None
            ).to(pl_module.device)
        self._collection.update(batch, prediction)
        columns: Columns = {"predicted_energy": prediction.energy.unbind()}
        if prediction.forces is not None:
            columns["predicted_forces"] = prediction.forces.split(batch.atom_counts.tolist())
        if prediction.stress is not None:
            columns["predicted_stress"] = prediction.stress.unbind()
        for target in pl_module.heads.targets:
            value = prediction.targets[target.name]
            if target.kind.endswith("scalar") and target.width == 1:
                value = value.flatten()
            if target.kind.startswith("graph"):
                columns[f"predicted_{target.name}"] = value.unbind()
            elif target.kind.startswith("node"):
                columns[f"predicted_{target.name}"] = value.split(batch.atom_counts.tolist())
        for row, (index, real) in enumerate(
            zip(batch.index.tolist(), batch.real.tolist(), strict=True)
        ):
            if real:
                self._predictions[index] = {
                    name: rows[row].detach().cpu().double().numpy()
                    for name, rows in columns.items()
                }

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._collection is not None:
            values = self._collection.compute().items()
            self.metrics = {name: float(value) for name, value in values if value == value}
        predictions = self._predictions
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, predictions)
            predictions = {index: row for part in parts for index, row in part.items()}
        if trainer.is_global_zero:
            configurations = trainer.datamodule.configurations("predict")  # type: ignore[attr-defined]
            write_extxyz(_with(configurations, predictions), self.path)


def _with(configurations: Any, predictions: dict[int, Columns]) -> Iterator[Configuration]:
    """The configurations with predictions, which are among their targets."""
    for index in sorted(predictions):
        configuration: Configuration = configurations[index]
        yield with_predictions(configuration, predictions[index])
