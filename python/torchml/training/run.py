"""One run from its settings: the coordinator of task, data and trainer.

    settings ─► data, species, task ─► graphs, normalisation ─► folder ─► Trainer ─► report

The command line and the Python functions both end in `run`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as L
import torch
import yaml  # type: ignore[import-untyped]
from jsonargparse import Namespace
from lightning.pytorch import seed_everything
from rich.console import Console

from torchml.data.configuration import Configuration
from torchml.data.module import DataModule, Part, Stage
from torchml.data.references import elements
from torchml.errors import TorchMLError
from torchml.importers import checkpoint
from torchml.importers.checkpoint import load_fine_tuned
from torchml.importers.fine_tuned import FineTuned
from torchml.models.base import EdgeModel
from torchml.models.staged import StagedModel
from torchml.training.callbacks.resuming import Resuming
from torchml.training.limits import check_limits
from torchml.training.live_objects import check_network, describe_network
from torchml.training.loop.preparation import prepare
from torchml.training.loop.task import Task
from torchml.training.monitors import check_monitors
from torchml.training.parse_errors import one_sentence
from torchml.training.precision import check_precision
from torchml.training.report import print_report, print_start
from torchml.training.resume import Resumption, compare
from torchml.training.run_folder import CHECKPOINTS
from torchml.training.settings import CONFIG, EARLIER_CONFIGS, Settings
from torchml.training.start import frozen_lines, start
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
    metrics: dict[str, float] = field(repr=False)
    trainer: L.Trainer = field(repr=False)
    task: Task = field(repr=False)
    data: DataModule = field(repr=False)

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss."""
        return self.folder / CHECKPOINTS / "best.ckpt"

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.folder / CHECKPOINTS / "last.ckpt"


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
        options, module = assemble(settings, model=model, data=data)
        task: Task = options.model
        check_precision(settings.options.trainer.precision, task.model)
        path = settings.options.ckpt_path
        stored = None if path is None else checkpoint.check(path, task)
        trainer, results = make_trainer(settings, options)
        _prepare(settings, trainer, task, module, data is not None, stored)
        _call(settings, trainer, task, module)
        leaves_model = settings.command == "fit" and not settings.is_trial
        result = Run(settings.folder, _metrics(trainer, results), trainer, task, module)
        best = result.best if leaves_model and result.best.exists() else None
        print_report(settings.command, trainer, results, best)
    return result


def explained(settings: Settings) -> str:
    """Return the content of config.yaml, with comments about what a fine-tuning freezes."""
    rule = settings.init_from
    assert rule is not None
    with one_sentence():
        model = start(rule, _data_module(settings, None).elements())
        comments = [f"# {line}" for line in frozen_lines(model, rule)]
        return "\n".join([settings.text().rstrip(), *comments])


def assemble(
    settings: Settings,
    *,
    model: EdgeModel | StagedModel | None = None,
    data: DataModule | Sequence[Configuration] | None = None,
) -> tuple[Namespace, DataModule]:
    """Set the random seed and make the objects of a command; arguments are those of `run`.

    Returns:
        The options with objects in place of class paths, of which `model` is the task; the data.
    """
    _seed(settings.options)
    module = _data_module(settings, data)
    _set_network(settings, model, module)
    return settings.instantiate(without="data"), module


def _seed(options: Namespace) -> None:
    seed = options.seed_everything
    if seed not in (None, True, False) and not 0 <= seed < 2**32:
        raise TorchMLError(f"seed_everything is {seed}, expected a number from 0 to 4294967295")
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
    if (rule := settings.init_from) is not None:
        if model is not None:
            raise TorchMLError("the argument model is given, and model.init_from too, expected one")
        path = settings.options.ckpt_path
        model = start(rule, data.elements()) if path is None else load_fine_tuned(path).train()
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
    settings: Settings,
    trainer: L.Trainer,
    task: Task,
    data: DataModule,
    is_object: bool,
    stored: dict[str, Any] | None,
) -> None:
    """Make task and data ready for each other, and take the folder.

    The data, and what the run changes if it resumes, are checked before anything in the folder is
    replaced, on all ranks: none waits for another one that has stopped.

    Args:
        is_object: whether the program gave the data.
        stored: the content of the checkpoint from which the run resumes.
    """
    stage = cast(Stage, settings.command)
    takes_folder = stage == "fit" and not settings.is_trial and trainer.is_global_zero
    if takes_folder:
        settings.check_folder()
    prepare(task, data, stage)
    task.prepared = True
    if stage == "fit" and task.init_from is not None and trainer.is_global_zero:
        print_start(task, task.init_from)
    check_limits(trainer, data, stage)
    if stage != "fit":
        return
    _check_monitors(settings.options, task)
    text = settings.text(**_described(settings.options, data if is_object else None))
    path = settings.options.ckpt_path
    resumption = _set_resumption(trainer, data, yaml.safe_load(text), path, stored)
    if takes_folder and (resumption is None or resumption.ended is None):
        if resumption is None:
            _clear(settings.folder)
        settings.save(text)


def _clear(folder: Path) -> None:
    """Delete the files of an earlier training."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CHECKPOINTS, "logs", "plots"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for file in (folder / CONFIG, *folder.glob(EARLIER_CONFIGS)):
        file.unlink(missing_ok=True)


def _check_monitors(options: Namespace, task: Task) -> None:
    """Raise if a metric is monitored that is not logged.

    Callbacks and tasks of the user may log further ones: their names are not known in advance.
    """
    if options.trainer.callbacks or not type(task).__module__.startswith("torchml."):
        return
    stopping = options.early_stopping
    monitors = {
        "checkpoint.monitor": options.checkpoint.monitor,
        "early_stopping.monitor": None if stopping is None else stopping.monitor,
        "model.monitor": task.learning_rate.waits_for,
    }
    check_monitors(monitors, task.metric_names)


def _set_resumption(
    trainer: L.Trainer,
    data: DataModule,
    configuration: dict[str, Any],
    path: str | None,
    stored: dict[str, Any] | None,
) -> Resumption | None:
    """Compare with the checkpoint from which the run resumes, and print what changes."""
    resuming = next(one for one in trainer.callbacks if isinstance(one, Resuming))  # type: ignore[attr-defined]
    resuming.configuration = configuration
    if path is not None and stored is not None:
        resuming.resumption = compare(path, stored, configuration, data)
        if trainer.is_global_zero:
            Console(soft_wrap=True, highlight=False).print(str(resuming.resumption), markup=False)
    return resuming.resumption


def _described(options: Namespace, data: DataModule | None) -> dict[str, Any]:
    """The sections of config.yaml about objects of the program."""
    sections: dict[str, Any] = {}
    network = options.model.init_args.get("model")
    if isinstance(network, FineTuned):  # init_from names it
        sections["model"] = options.model.clone()
        sections["model"].init_args.model = None
    elif isinstance(network, torch.nn.Module):
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
