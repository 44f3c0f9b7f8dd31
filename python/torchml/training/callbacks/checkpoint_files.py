"""When checkpoints are written, under which names, and that none is ever half written."""

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

FOLDER = "checkpoints"


@dataclass(frozen=True)
class Checkpoints:
    """Which checkpoints are kept, in <run>/checkpoints.

    best.ckpt is the one with the best value of `monitor`; without validation data, of the training
    loss. last.ckpt is written after every epoch.

    monitor: the metric that tells which is the best.
    mode: whether small or large values of it are good.
    every_n_epochs: also keep epoch_K.ckpt for every so many epochs.
    every_n_steps: also keep step_K.ckpt for every so many steps.
    last_every_n_steps: write last.ckpt within epochs too, where epochs are long.
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
        """Lightning's callbacks that do it."""
        options: dict[str, Any] = {
            "dirpath": run / FOLDER,
            "enable_version_counter": False,
            "auto_insert_metric_name": False,
        }
        last = options | {"filename": "last", "save_top_k": 1}
        kept = options | {"save_top_k": -1}
        found: list[Callback] = [
            BestCheckpoint(**options, filename="best", monitor=self.monitor, mode=self.mode),
            ModelCheckpoint(**last, every_n_epochs=1, save_on_train_epoch_end=True),
        ]
        if self.last_every_n_steps is not None:
            found.append(ModelCheckpoint(**last, every_n_train_steps=self.last_every_n_steps))
        if self.every_n_epochs is not None:
            found.append(
                KeptCheckpoint(
                    **kept,
                    filename="epoch_{epoch}",
                    every_n_epochs=self.every_n_epochs,
                    save_on_train_epoch_end=True,
                )
            )
        if self.every_n_steps is not None:
            found.append(
                KeptCheckpoint(
                    **kept, filename="step_{step}", every_n_train_steps=self.every_n_steps
                )
            )
        return found


@dataclass(frozen=True)
class Patience:
    """When training ends before its last epoch.

    patience: validations without an improvement that are waited for.
    min_delta: what counts as an improvement.
    monitor: the metric that is looked at; without validation data, the training loss.
    mode: whether small or large values of it are good.
    """

    patience: int = 50
    min_delta: float = 0.0
    monitor: str = "val/loss"
    mode: Literal["min", "max"] = "min"

    def callback(self) -> Callback:
        """Lightning's callback that does it."""
        return StopEarly(self.monitor, self.min_delta, self.patience, mode=self.mode)


class BestCheckpoint(ModelCheckpoint):
    """Lightning's, which looks at the training loss where nothing is validated."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        assert self.monitor is not None
        self.monitor = _available(self.monitor, trainer)


class KeptCheckpoint(ModelCheckpoint):
    """Lightning's; under another name, since it tells them apart by what triggers them."""

    @property
    def state_key(self) -> str:
        return f"{super().state_key}{self.filename}"


class StopEarly(EarlyStopping):
    """Lightning's, which looks at the training loss where nothing is validated."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.monitor = _available(self.monitor, trainer)
        super().setup(trainer, pl_module, stage)

    def _validate_condition_metric(self, logs: dict[str, torch.Tensor]) -> bool:
        if self.monitor not in logs:
            raise TorchMLError(
                f"early_stopping.monitor is '{self.monitor}', expected one of "
                f"{', '.join(sorted(logs))}"
            )
        return super()._validate_condition_metric(logs)


def _available(monitor: str, trainer: L.Trainer) -> str:
    data = getattr(trainer, "datamodule", None)
    validated = data is None or len(data.configurations("val")) > 0
    return monitor if validated or not monitor.startswith("val/") else "train/loss"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the old checkpoint, then replaces it.

    Lightning's own writes into the system's temporary folder; moving it from there copies, if that
    is another file system, and whoever is killed meanwhile is left with half a checkpoint.
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
