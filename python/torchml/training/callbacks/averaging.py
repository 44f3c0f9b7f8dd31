"""Exponential moving average of the weights, which is validated and exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from torchml.errors import TorchMLError


@dataclass(frozen=True)
class Averaging:
    """Exponential moving average of the weights.

    Attributes:
        decay: fraction of the average that is kept in a step.
        warm_up: use a smaller decay in the beginning: after n steps at most (1 + n) / (10 + n).
    """

    decay: float = 0.999
    warm_up: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise TorchMLError(f"ema.decay is {self.decay}, expected 0 <= decay < 1")


class AverageWeights(WeightAveraging):
    """Lightning's weight averaging with a decay that starts low, and buffers that are copied.

    Validation runs with the averaged weights. Checkpoints hold them in `state_dict`, and
    the current ones beside them, so that training resumes exactly.
    """

    def __init__(self, rule: Averaging) -> None:
        def average(averaged: list[Tensor], current: list[Tensor], steps: Tensor | int) -> None:
            n = int(steps)
            decay = min(rule.decay, (1 + n) / (10 + n)) if rule.warm_up else rule.decay
            torch._foreach_lerp_(averaged, current, 1 - decay)

        super().__init__(use_buffers=False, multi_avg_fn=average)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Copy device and buffers: Lightning copies the model before these are set."""
        assert self._average_model is not None
        self._average_model.to(pl_module.device)
        copies = zip(self._average_model.module.buffers(), pl_module.buffers(), strict=True)
        for averaged, current in copies:
            averaged.copy_(current)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the averaged weights into the model, also for a test that follows."""
        super().on_train_end(trainer, pl_module)
        self._average_model = None

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Outside of training, use the averaged weights in `state_dict`.

        A training without averages may resume with them: they begin at its weights.
        """
        if self._average_model is None:
            return
        if "current_model_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
        else:
            self._average_model.module.load_state_dict(checkpoint["state_dict"])
