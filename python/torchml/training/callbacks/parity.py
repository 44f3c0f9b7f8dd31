"""Parity plots: collect predictions and labels during validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch import Tensor

from torchml.data.batch import GraphBatch
from torchml.training.loop.metrics import energy_is_labelled, force_is_labelled, stress_is_labelled
from torchml.training.loop.prediction import Prediction
from torchml.training.outputs.plots import PANELS, plot_learning_curves, plot_parity

LIMIT = 100_000
"""Largest number of points of a panel; each batch contributes at most its random share."""


class Plots(Callback):
    """Draw <run>/plots/parity_val.png, parity_test.png and learning_curves.png.

    At the end of a training, the validation with the lowest loss is drawn. Without `draw`, only
    its metrics are kept.
    """

    def __init__(self, run: Path, draw: bool = True) -> None:
        self.run = run
        self.draw = draw
        self._points: dict[str, list[Tensor]] = {}
        self._quota = LIMIT
        self._generator = torch.Generator()
        self._lowest = float("inf")
        # Points, metrics and title of the validation with the lowest loss.
        self.best: tuple[dict[str, NDArray[np.float64]], dict[str, float], str] | None = None

    # --- Collecting ----------------------------------------------------------------------------

    def _start(self, trainer: L.Trainer, batches: Any) -> None:
        counts = batches if isinstance(batches, list) else [batches]
        total = sum(int(count) for count in counts if count != float("inf")) * trainer.world_size
        self._quota = max(LIMIT // max(total, 1), 1)
        self._points = {name: [] for name in PANELS}
        self._generator.manual_seed(0)  # its own, so that drawing points changes no training

    def _add(self, prediction: Any, batch: GraphBatch) -> None:
        if not (self.draw and isinstance(prediction, Prediction)):
            return
        labels = {"energy": (batch.energy / batch.atom_counts, energy_is_labelled(batch))}
        values = {"energy": prediction.energy / batch.atom_counts}
        if prediction.forces is not None:
            labels["forces"] = batch.forces, force_is_labelled(batch)
            values["forces"] = prediction.forces
        if prediction.stress is not None:
            labels["stress"] = batch.stress, stress_is_labelled(batch)
            values["stress"] = prediction.stress
        for name, (label, labelled) in labels.items():
            pairs = torch.stack(
                [label[labelled].flatten(), values[name].detach()[labelled].flatten().to(label)], 1
            ).cpu()
            if len(pairs) > self._quota:
                pairs = pairs[torch.randperm(len(pairs), generator=self._generator)[: self._quota]]
            self._points[name].append(pairs)

    def _gathered(self) -> dict[str, NDArray[np.float64]]:
        """The points of all ranks, float64[n, 2] by panel: label, prediction."""
        mine = {
            name: torch.cat(pairs).double().numpy() if pairs else np.empty((0, 2))
            for name, pairs in self._points.items()
        }
        self._points = {}
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return mine
        parts: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, mine)
        return {name: np.concatenate([part[name] for part in parts]) for name in mine}

    # --- Validation ----------------------------------------------------------------------------

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start(trainer, trainer.num_val_batches)

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        if not trainer.sanity_checking:
            self._add(outputs, batch)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        metrics = metrics_of(trainer, "val")
        loss = metrics.get("loss", 0.0)
        if loss <= self._lowest or self.best is None:
            when = f"after epoch {trainer.current_epoch + 1}" if trainer.state.fn == "fit" else ""
            self.best = self._gathered(), metrics, f"validation {when}".strip()
            self._lowest = loss
        if trainer.state.fn == "validate":
            self._draw_validation(trainer)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._draw_validation(trainer)
        if self.draw and trainer.is_global_zero:
            logs = sorted(
                (self.run / "logs" / "csv").glob("version_*/metrics.csv"),
                key=lambda path: int(path.parent.name.removeprefix("version_")),
            )
            plot_learning_curves(logs, self.run / "plots" / "learning_curves.png")

    def _draw_validation(self, trainer: L.Trainer) -> None:
        if self.best is not None and trainer.is_global_zero:
            points, metrics, title = self.best
            plot_parity(points, metrics, title, self.run / "plots" / "parity_val.png")

    # --- Test ------------------------------------------------------------------------------------

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start(trainer, trainer.num_test_batches)

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self._add(outputs, batch)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        points = self._gathered()
        if trainer.is_global_zero:
            path = self.run / "plots" / "parity_test.png"
            plot_parity(points, metrics_of(trainer, "test"), "test", path)


def metrics_of(trainer: L.Trainer, stage: str) -> dict[str, float]:
    """Return the values that were logged last as <stage>/<name>, by name."""
    return {
        name.removeprefix(f"{stage}/"): float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith(f"{stage}/")
    }
