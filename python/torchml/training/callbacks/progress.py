"""Progress of a training: a bar on a terminal, lines in a log file."""

from __future__ import annotations

import math
import sys
import time

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback, ProgressBar, RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme
from rich.console import Console

from torchml.evaluation.metrics_table import with_unit

_LINES = 100
_SHOWN = ("energy_per_atom_mae", "energy_mae", "forces_mae", "stress_mae")


def progress() -> Callback:
    """Return a bar if the output is a terminal, else lines."""
    if sys.stdout.isatty():
        return Bar(theme=RichProgressBarTheme(metrics_format=".4g"))
    return EpochLines()


class Bar(RichProgressBar):
    """Lightning's bar without the number of the log folder."""

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class EpochLines(ProgressBar):
    """Print about a hundred lines in a training of any number of epochs.

    A line has the values of a validation only if there was one since the line before.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started = 0.0
        self._enabled = True
        self._validated = 0  # epoch of the last validation, from 1; 0 after it was printed

    def disable(self) -> None:
        """Print nothing; Lightning calls this on all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Print again."""
        self._enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started = time.monotonic()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._validated = trainer.current_epoch + 1

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or -1
        every = max(1, math.ceil(epochs / _LINES))
        last = epoch == epochs or trainer.should_stop
        if not self._enabled or not (epoch == 1 or last or epoch % every == 0):
            return
        of_all = f"/{epochs}" if epochs > 0 else ""
        words = [f"epoch {epoch}{of_all}"]
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if "train/loss" in metrics:
            words.append(f"train/loss {metrics['train/loss']:.4g}")
        if self._validated:
            words += _of_validation(metrics, self._validated, epoch)
            self._validated = 0
        words.append(f"{time.monotonic() - self._started:.0f} s")
        Console(soft_wrap=True, highlight=False).print("  ".join(words))


def _of_validation(metrics: dict[str, float], validated: int, epoch: int) -> list[str]:
    """The words about a validation, with its epoch where that is an earlier one."""
    if "val/loss" not in metrics:
        return []
    when = "" if validated == epoch else f" (epoch {validated})"
    words = [f"val/loss{when} {metrics['val/loss']:.4g}"]
    for name in _SHOWN:
        if f"val/{name}" in metrics:
            words.append(f"{name} {with_unit(name, metrics[f'val/{name}'])}")
    return words
