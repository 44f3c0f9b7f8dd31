"""Metrics that early stopping, checkpoints and schedulers look at."""

from __future__ import annotations

from collections.abc import Mapping

import lightning.pytorch as L

from torchml.errors import TorchMLError


def check_monitors(monitors: Mapping[str, str | None], names: list[str]) -> None:
    """Raise TorchMLError if one of the metrics is not logged.

    Args:
        monitors: names of metrics by key of the configuration; None where there is none.
        names: of the metrics that are logged.
    """
    for key, monitor in monitors.items():
        if monitor is not None and monitor not in names:
            raise TorchMLError(f"{key} is '{monitor}', expected one of {', '.join(names)}")


def available(monitor: str, trainer: L.Trainer) -> str:
    """Return the metric, or the training loss in place of one of validations that never run."""
    return "train/loss" if monitor.startswith("val/") and not _validates(trainer) else monitor


def _validates(trainer: L.Trainer) -> bool:
    data = getattr(trainer, "datamodule", None)
    if data is not None and not len(data.configurations("val")):
        return False
    every, epochs = trainer.check_val_every_n_epoch or 0, trainer.max_epochs or -1
    return trainer.limit_val_batches != 0 and not every > epochs > 0
