"""End a training whose loss is NaN or infinite, before a checkpoint is written."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from torchml.data.batch import GraphBatch
from torchml.errors import TorchMLError

_NAMED = 8


class FiniteLoss(Callback):
    """Raise one error on all ranks, with the configurations of the batch."""

    def __init__(self) -> None:
        self._batch: GraphBatch | None = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._batch = batch

    def on_before_backward(
        self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor
    ) -> None:
        finite = bool(torch.isfinite(loss))
        if trainer.strategy.reduce_boolean_decision(finite, all=True):
            return
        where = f"in epoch {trainer.current_epoch}, step {trainer.global_step}"
        if finite:
            raise TorchMLError(f"the loss of another rank became infinite or NaN {where}")
        raise TorchMLError(
            f"the loss became {loss.item()} {where}, whose batch holds {self._names(trainer)}; "
            "check their labels, or lower the learning rate"
        )

    def _names(self, trainer: L.Trainer) -> str:
        assert self._batch is not None
        indices = self._batch.index[self._batch.real].tolist()
        configurations = trainer.datamodule.configurations("train")  # type: ignore[attr-defined]
        names = [configurations[k].name for k in indices[:_NAMED]]
        if len(indices) > _NAMED:
            names.append(f"{len(indices) - _NAMED} more")
        return "; ".join(names)
