"""Schedulers that wait for an improvement of a metric."""

from __future__ import annotations

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback
from torch.optim.lr_scheduler import ReduceLROnPlateau

from torchml.errors import TorchMLError
from torchml.training.monitors import available


class StepPlateau(Callback):
    """Let ReduceLROnPlateau look at each value of its metric once, when the value is new.

    Metrics of the validation are new after each validation, others after each epoch.
    """

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            _step(trainer, of_validation=True)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        _step(trainer, of_validation=False)


def _step(trainer: L.Trainer, of_validation: bool) -> None:
    for config in trainer.lr_scheduler_configs:
        if not isinstance(config.scheduler, ReduceLROnPlateau):
            continue
        monitor = available(str(config.monitor), trainer)
        if monitor.startswith("val/") != of_validation:
            continue
        if monitor not in trainer.callback_metrics:
            raise TorchMLError(
                f"model.monitor is '{monitor}', expected one of "
                f"{', '.join(sorted(trainer.callback_metrics))}"
            )
        config.scheduler.step(float(trainer.callback_metrics[monitor]))
