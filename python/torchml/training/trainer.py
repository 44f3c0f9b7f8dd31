"""Lightning's Trainer with the callbacks, loggers and plugins of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as L
from jsonargparse import Namespace
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins import CheckpointIO

from torchml.errors import TorchMLError
from torchml.training.callbacks.averaging import AverageWeights
from torchml.training.callbacks.checkpoint_files import AtomicCheckpointIO
from torchml.training.callbacks.groups import GroupErrors
from torchml.training.callbacks.guard import FiniteLoss
from torchml.training.callbacks.parity import Plots
from torchml.training.callbacks.prediction_file import WritePredictions
from torchml.training.callbacks.progress import progress
from torchml.training.callbacks.resuming import Resuming
from torchml.training.launchers import cluster_environment
from torchml.training.settings import Settings


@dataclass
class Collectors:
    """The callbacks that keep results for the end of a run; None where a command has none.

    Attributes:
        plots: points and metrics of the best validation, or of the test.
        groups: errors by group of configurations.
        predictions: the file of predictions, and their metrics.
        further: the other callbacks of this package.
    """

    plots: Plots | None = None
    groups: GroupErrors | None = None
    predictions: WritePredictions | None = None
    further: list[Callback] = field(default_factory=list)

    def all(self) -> list[Callback]:
        """The callbacks in the order in which Lightning calls them."""
        kept = (self.predictions, self.plots, self.groups)
        return [*(callback for callback in kept if callback is not None), *self.further]


def make_trainer(settings: Settings, options: Namespace) -> tuple[L.Trainer, Collectors]:
    """Make the trainer of a command.

    Args:
        settings: the command, and the folder of its files.
        options: the options of `settings` with objects in place of class paths.

    Raises:
        TorchMLError: if Lightning refuses an argument of trainer.
    """
    arguments = dict(vars(options.trainer))
    callbacks, plugins = _as_list(arguments["callbacks"]), _as_list(arguments["plugins"])
    is_fit = settings.command == "fit"
    if arguments["logger"] in (None, True) and is_fit:
        logs = settings.folder / "logs"
        arguments["logger"] = [
            TensorBoardLogger(logs, name="tensorboard"),
            CSVLogger(logs, name="csv", flush_logs_every_n_steps=1),
        ]
    elif arguments["logger"] is None:
        arguments["logger"] = False
    if arguments["enable_checkpointing"] is None and not is_fit:
        arguments["enable_checkpointing"] = False
    if arguments["enable_progress_bar"] is None and not _holds(callbacks, ProgressBar):
        callbacks.append(progress())
    if not _holds(plugins, CheckpointIO):
        plugins.append(AtomicCheckpointIO())
    environment = cluster_environment()
    if environment is not None and not _holds(plugins, ClusterEnvironment):
        plugins.append(environment)
    collectors = _collectors(settings, options)
    if is_fit:
        collectors.further = _training_callbacks(
            settings, options, bool(arguments["logger"]), arguments["enable_checkpointing"]
        )
    arguments |= {"callbacks": callbacks + collectors.all(), "plugins": plugins}
    try:
        trainer = L.Trainer(**arguments)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise TorchMLError(f"trainer: {' '.join(str(error).split())}") from error
    repeated: int | float = trainer.overfit_batches  # type: ignore[attr-defined]
    if isinstance(repeated, float) and repeated > 0:
        trainer.limit_val_batches = 1.0  # the same part of few validation batches may be none
    return trainer, collectors


def _collectors(settings: Settings, options: Namespace) -> Collectors:
    if settings.command == "predict":
        return Collectors(predictions=WritePredictions(settings.folder / "predictions.extxyz"))
    plots = Plots(settings.folder, options.plots and not settings.is_trial)
    if settings.command == "fit":
        return Collectors(plots=plots)
    part: Any = "val" if settings.command == "validate" else "test"
    return Collectors(plots=plots, groups=GroupErrors(part))


def _training_callbacks(
    settings: Settings, options: Namespace, logs: bool, checkpoints: bool | None
) -> list[Callback]:
    callbacks: list[Callback] = [FiniteLoss(), Resuming()]
    if logs:
        callbacks.append(LearningRateMonitor())
    if options.ema is not None:
        callbacks.append(AverageWeights(options.ema))
    if options.early_stopping is not None:
        callbacks.append(options.early_stopping.callback())
    if checkpoints is not False:
        callbacks += options.checkpoint.callbacks(settings.folder)
    return callbacks


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _holds(objects: Sequence[Any], kind: type) -> bool:
    return any(isinstance(entry, kind) for entry in objects)
