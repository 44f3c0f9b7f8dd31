"""Checkpoints: when they are written, their names, and atomic replacement."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from torchml.errors import TorchMLError
from torchml.training.monitors import available
from torchml.training.run_folder import CHECKPOINTS


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints that are kept in <run>/checkpoints.

    best.ckpt has the best value of `monitor`; without validation data, of the training loss.
    last.ckpt is written after every epoch.

    Attributes:
        monitor: metric of the best checkpoint.
        mode: min if small values of it are good, max if large ones are.
        every_n_epochs: also keep epoch_K.ckpt after each n-th epoch.
        every_n_steps: also keep step_K.ckpt after each n-th step.
        last_every_n_steps: also write last.ckpt after each n-th step, for long epochs.
    """

    monitor: str = "val/loss"
    mode: Literal["min", "max"] = "min"
    every_n_epochs: int | None = None
    every_n_steps: int | None = None
    last_every_n_steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("every_n_epochs", "every_n_steps", "last_every_n_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TorchMLError(f"checkpoint.{name} is {value}, expected 1 or more")

    def callbacks(self, run: Path) -> list[Callback]:
        """Return the callbacks that write these checkpoints in the folder of a run."""
        options: dict[str, Any] = {
            "dirpath": run / CHECKPOINTS,
            "enable_version_counter": False,
            "auto_insert_metric_name": False,
        }
        last = options | {"filename": "last", "save_top_k": 1}
        kept = options | {"save_top_k": -1}
        callbacks: list[Callback] = [
            BestCheckpoint(**options, filename="best", monitor=self.monitor, mode=self.mode),
            ModelCheckpoint(**last, every_n_epochs=1, save_on_train_epoch_end=True),
        ]
        if self.last_every_n_steps is not None:
            callbacks.append(ModelCheckpoint(**last, every_n_train_steps=self.last_every_n_steps))
        if self.every_n_epochs is not None:
            callbacks.append(
                KeptCheckpoint(
                    **kept,
                    filename="epoch_{epoch}",
                    every_n_epochs=self.every_n_epochs,
                    save_on_train_epoch_end=True,
                )
            )
        if self.every_n_steps is not None:
            callbacks.append(
                KeptCheckpoint(
                    **kept, filename="step_{step}", every_n_train_steps=self.every_n_steps
                )
            )
        return callbacks


@dataclass(frozen=True)
class Patience:
    """Early stopping.

    Attributes:
        patience: number of validations without improvement after which training ends.
        min_delta: smallest change that is an improvement.
        monitor: metric that must improve; without validation data, the training loss.
        mode: min if small values of it are good, max if large ones are.
    """

    patience: int = 50
    min_delta: float = 0.0
    monitor: str = "val/loss"
    mode: Literal["min", "max"] = "min"

    def callback(self) -> Callback:
        """Return the callback that stops the training."""
        return StopEarly(self.monitor, self.min_delta, self.patience, mode=self.mode)


class BestCheckpoint(ModelCheckpoint):
    """Lightning's callback, with the training loss if there are no validation data."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        assert self.monitor is not None
        self.monitor = available(self.monitor, trainer)
        if self.monitor.startswith("train/"):
            self._save_on_train_epoch_end = True  # values of validations may be rarer


class KeptCheckpoint(ModelCheckpoint):
    """Lightning's callback, whose state has the file name in its key."""

    @property
    def state_key(self) -> str:
        return f"{super().state_key}{self.filename}"


class StopEarly(EarlyStopping):
    """Lightning's callback, with the training loss if there are no validation data."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.monitor = available(self.monitor, trainer)
        if self.monitor.startswith(("train/", "val/")):
            self._check_on_train_epoch_end = self.monitor.startswith("train/")
        super().setup(trainer, pl_module, stage)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue to count, with the patience of this run."""
        super().load_state_dict(state_dict | {"patience": self.patience})

    def _validate_condition_metric(self, logs: dict[str, torch.Tensor]) -> bool:
        if self.monitor not in logs:
            raise TorchMLError(
                f"early_stopping.monitor is '{self.monitor}', expected one of "
                f"{', '.join(sorted(logs))}"
            )
        return super()._validate_condition_metric(logs)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside the old one, then replace that.

    Lightning writes into the system's temporary folder. On another file system the move is a copy,
    and a process that is killed meanwhile leaves half a checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        with new.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
