"""One run from its settings: the coordinator of task, data and trainer.

    settings ─► data, species, task ─► graphs, normalisation ─► folder ─► Trainer ─► report

The command line and the Python functions both end in `run`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as L
import torch
from jsonargparse import Namespace
from lightning.pytorch import seed_everything

from torchml.data.configuration import Configuration
from torchml.data.module import DataModule, Part, Stage
from torchml.data.references import elements
from torchml.errors import TorchMLError
from torchml.importers import checkpoint
from torchml.models.base import EdgeModel
from torchml.models.staged import StagedModel
from torchml.training.callbacks.checkpoint_files import FOLDER
from torchml.training.live_objects import check_network, describe_network
from torchml.training.loop.preparation import prepare
from torchml.training.loop.task import Task
from torchml.training.parse_errors import one_sentence
from torchml.training.report import print_report
from torchml.training.settings import Settings
from torchml.training.trainer import Collectors, make_trainer

# The part of the data that a list of configurations replaces.
_PARTS: dict[str, Part] = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}


@dataclass
class Run:
    """The objects and files that a command leaves.

    Attributes:
        folder: the folder of its files.
        metrics: the values that were logged last (fit: val/..., test: test/..., predict:
            predict/...), in eV, eV/Å and eV/Å³.
        trainer: Lightning's trainer.
        task: the task; after fit its weights are the averaged ones of the last step.
        data: the data module.
    """

    folder: Path
    metrics: dict[str, float]
    trainer: L.Trainer
    task: Task
    data: DataModule

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss."""
        return self.folder / FOLDER / "best.ckpt"

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.folder / FOLDER / "last.ckpt"


def run(
    settings: Settings,
    *,
    model: EdgeModel | StagedModel | None = None,
    data: DataModule | Sequence[Configuration] | None = None,
) -> Run:
    """Carry out a command.

    Args:
        settings: the command and its configuration.
        model: a network in place of the one that the configuration names; it is trained itself,
            not a copy.
        data: a data module, or configurations to train, validate, test or predict, in place of
            the data that the configuration names.

    Returns:
        The metrics, and the objects that computed them.

    Raises:
        TorchMLError: one sentence, for the first value, file or configuration that is wrong.
    """
    with one_sentence():
        _seed(settings.options)
        module = _data_module(settings, data)
        _set_network(settings, model, module)
        options = settings.instantiate(without="data")
        task: Task = options.model
        if settings.options.ckpt_path is not None:
            checkpoint.check(settings.options.ckpt_path, task)
        trainer, results = make_trainer(settings, options)
        _prepare(settings, trainer, task, module, is_object=data is not None)
        _call(settings, trainer, task, module)
        leaves_model = settings.command == "fit" and not settings.is_trial
        result = Run(settings.folder, _metrics(trainer, results), trainer, task, module)
        best = result.best if leaves_model and result.best.exists() else None
        print_report(settings.command, trainer, results, best)
    return result


def _seed(options: Namespace) -> None:
    seed = options.seed_everything
    if seed is not False:
        options.seed_everything = seed_everything(None if seed is True else seed, workers=True)


def _data_module(settings: Settings, data: Any) -> DataModule:
    if isinstance(data, DataModule):
        return data
    module: DataModule = settings.instantiate(only="data").data
    if data is not None:
        entry = data[0] if isinstance(data, Sequence) and len(data) else data
        if not isinstance(entry, Configuration):
            raise TorchMLError(
                f"data is or holds a {type(entry).__name__}, expected a DataModule or a list of "
                "configurations (see torchml.data.read)"
            )
        module.sources[_PARTS[settings.command]] = data
    return module


def _set_network(settings: Settings, model: Any, data: DataModule) -> None:
    """Put the network that is given into the options; else complete the one that they name."""
    arguments = settings.options.model.init_args
    if model is not None:
        arguments.model = model
    network = arguments.get("model")
    if isinstance(network, torch.nn.Module):
        check_network(network)
    elif network is not None and network.get("init_args", {}).get("species") == []:
        network.init_args.species = _species(data)


def _species(data: DataModule) -> list[str]:
    """The elements of the training data."""
    symbols = elements(data.configurations("train"))
    if not symbols:
        raise TorchMLError(
            "there are no training data to take the species from: set data.train, or "
            "model.model.init_args.species"
        )
    return symbols


def _prepare(
    settings: Settings, trainer: L.Trainer, task: Task, data: DataModule, is_object: bool
) -> None:
    """Make task and data ready for each other, and take the folder.

    The data are checked before the previous training is deleted, on all ranks: none waits for
    another one that has stopped.
    """
    stage = cast(Stage, settings.command)
    takes_folder = stage == "fit" and not settings.is_trial and trainer.is_global_zero
    if takes_folder:
        settings.check_folder()
    prepare(task, data, stage)
    task.prepared = True
    if takes_folder:
        if settings.options.ckpt_path is None:
            for name in (FOLDER, "logs", "plots"):
                shutil.rmtree(settings.folder / name, ignore_errors=True)
        settings.save(**_described(settings.options, data if is_object else None))


def _described(options: Namespace, data: DataModule | None) -> dict[str, Any]:
    """The sections of config.yaml about objects of the program."""
    sections: dict[str, Any] = {}
    network = options.model.init_args.get("model")
    if isinstance(network, torch.nn.Module):
        sections["model"] = options.model.clone()
        sections["model"].init_args.model = describe_network(check_network(network))
    if data is not None:
        sections["data"] = data.arguments
    return sections


def _call(settings: Settings, trainer: L.Trainer, task: Task, data: DataModule) -> None:
    """Call the trainer's method of this command."""
    path = settings.options.ckpt_path
    try:
        if settings.command == "fit":
            trainer.fit(task, datamodule=data, ckpt_path=path)
        elif settings.command == "predict":
            trainer.predict(task, datamodule=data, ckpt_path=path, return_predictions=False)
        else:  # with a table of our own
            evaluate = trainer.validate if settings.command == "validate" else trainer.test
            evaluate(task, datamodule=data, ckpt_path=path, verbose=False)
    except SystemExit:
        # Lightning ends the process at Ctrl-C.
        if not trainer.interrupted:
            raise
        raise TorchMLError("interrupted; resume it by --ckpt_path last") from None
    finally:
        task.prepared = False


def _metrics(trainer: L.Trainer, results: Collectors) -> dict[str, float]:
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if results.predictions is not None:
        values = results.predictions.metrics.items()
        metrics |= {f"predict/{name}": value for name, value in values}
    return metrics
