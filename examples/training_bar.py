"""A progress bar of a whole training, with the errors of the latest validation."""

from __future__ import annotations

import sys
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINES = 8  # instead of a bar if the output is not a terminal


class TrainingBar(ProgressBar):
    """A bar that counts epochs and advances with every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console()
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task("")

    def disable(self) -> None:
        """Do nothing: there is one rank."""

    def enable(self) -> None:
        """Return that the bar is on."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.bar.update(self.task, total=trainer.max_epochs)
        self.bar.start()

    def on_train_batch_end(self, trainer: L.Trainer, *arguments: Any) -> None:
        done = trainer.global_step / (trainer.num_training_batches or 1)
        self.bar.update(self.task, completed=int(done * 10) / 10)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        metrics = trainer.callback_metrics
        energy, forces = (
            float(metrics[f"val/{name}_mae"]) for name in ("energy_per_atom", "forces")
        )
        errors = f"{1000 * energy:.1f} meV/atom, {forces:.3f} eV/Å"
        self.bar.update(self.task, description=errors)
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 1
        if not self.console.is_terminal and epoch % -(-epochs // LINES) == 0:
            self.console.print(f"  epoch {epoch}/{epochs}  {errors}")
            sys.stdout.flush()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.bar.stop()

    def on_exception(self, trainer: L.Trainer, *arguments: Any) -> None:
        self.bar.stop()
