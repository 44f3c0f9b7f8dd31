"""`torchml fit`, `validate`, `test` and `predict`: one configuration, from YAML, words or Python.

LightningCLI does the parsing; what is decided here are defaults that need no tuning, where a run
keeps its files, and how errors are told.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
import warnings
from argparse import ArgumentError, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import yaml  # type: ignore[import-untyped]
from jsonargparse import DefaultHelpFormatter, Namespace
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins import CheckpointIO
from rich.console import Console

from torchml.data.module import DataModule
from torchml.data.references import elements
from torchml.errors import TorchMLError
from torchml.importers import checkpoint
from torchml.training.callbacks.averaging import AverageWeights, Averaging
from torchml.training.callbacks.checkpoint_files import (
    FOLDER,
    AtomicCheckpointIO,
    Checkpoints,
    Patience,
)
from torchml.training.callbacks.groups import GroupErrors
from torchml.training.callbacks.guard import FiniteLoss
from torchml.training.callbacks.parity import Plots, metrics_of
from torchml.training.callbacks.predictions import WritePredictions
from torchml.training.callbacks.progress import progress
from torchml.training.launchers import cluster_environment, launched_ranks
from torchml.training.loop.task import Task
from torchml.training.outputs.tables import groups_table, metrics_table

_DESCRIPTIONS = {
    "fit": "Train a potential.",
    "validate": "Report the errors on the validation data.",
    "test": "Report the errors on the test data, with parity plots.",
    "predict": "Write energies and forces of structures into <run>/predictions.extxyz.",
}

_USAGE_LINE = "torchml {} [--config FILE]... [--KEY VALUE]... [--print_config] [--help]"

_USAGE = """\
A configuration needs no more than this; everything else has a default (--print_config shows it):

  data:
    train: silicon.extxyz

  torchml fit --config silicon.yaml
  torchml fit --config silicon.yaml --trainer.max_epochs 500 --model.model.init_args.cutoff 6.0
  torchml fit --config silicon.yaml --ckpt_path last                (goes on where it ended)
  torchml test --config run/config.yaml --data.test test.extxyz     (with run/checkpoints/best.ckpt)
"""

# The class may be another one: arguments that it has too keep these values.
_DEFAULT_MODEL = {
    "class_path": "torchml.training.S2EF",
    "init_args": {
        "model": {
            "class_path": "torchml.models.TensorNet",
            "init_args": {"species": [], "cutoff": 5.0},
        }
    },
}

_TRAINER_DEFAULTS = {
    "default_root_dir": "run",
    "inference_mode": False,  # forces are derivatives
    "use_distributed_sampler": False,  # the data module deals the configurations to the ranks
    "gradient_clip_val": 10.0,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
}
_EPOCHS = 100

# Advice of Lightning that does not fit here: data are graphs in memory, and small runs are normal.
_UNWANTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*The number of training batches.*",
    ".*Be aware that when using `ckpt_path`, callbacks.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*You defined a `validation_step` but have no `val_dataloader`.*",
    ".*Total length of `.*` across ranks is zero.*",
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    ".*The `srun` command is available on your system but is not used.*",
    ".*sync_dist=True.*",  # torchmetrics has added up all ranks before
    "(?s).*Grad strides do not match bucket view strides.*",
)


# Some of Lightning's callbacks have defaults that are members of enumerations.
yaml.SafeDumper.add_multi_representer(
    Enum, lambda dumper, member: dumper.represent_data(member.value)
)


@dataclass
class Run:
    """What a command leaves in memory.

    folder: where its files are. metrics: what was logged last (fit: val/..., test: test/...).
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


class _HelpFormatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the examples."""


class TrainingCLI(LightningCLI):
    """LightningCLI with the package's defaults.

    Args:
        arguments: words of a command line, the command first.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.command = arguments[0]
        self.written: WritePredictions | None = None
        self.groups: GroupErrors | None = None
        self.plots: Plots | None = None
        # Errors are raised, not printed with the usage of a hundred options.
        options: dict[str, Any] = {"exit_on_error": False, "formatter_class": _HelpFormatter}
        super().__init__(
            Task,
            DataModule,
            subclass_mode_model=True,
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults=_TRAINER_DEFAULTS,
            parser_kwargs=options
            | {"prog": "torchml", "description": "Training of potentials."}
            | {
                self.command: options
                | {
                    "description": _description(self.command),
                    "usage": _USAGE_LINE.format(self.command),
                }
            },
            args=list(arguments),
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The command, and the arguments of Trainer's methods that are not for users.

        Parsers of the other commands would only take time.
        """
        ours = {"model", "datamodule", "dataloaders", "weights_only", "verbose"}
        ours |= {"train_dataloaders", "val_dataloaders", "return_predictions"}
        return {self.command: ours}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Keys besides model, data and trainer."""
        parser.set_defaults({"model": _DEFAULT_MODEL})
        parser.add_argument(
            "--ema", type=Averaging | None, default=Averaging(), help="Averaged weights, or null."
        )
        parser.add_argument(
            "--early_stopping",
            type=Patience | None,
            default=None,
            help="End when nothing improves any more.",
        )
        parser.add_argument(
            "--checkpoint", type=Checkpoints, default=Checkpoints(), help="What is kept."
        )
        parser.add_argument(
            "--plots", type=bool, default=True, help="Parity plots and learning curves at the end."
        )
        parser.add_argument(
            "--overwrite",
            type=bool,
            default=False,
            help="Replace the training that trainer.default_root_dir holds.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Without Lightning's warning about sys.argv."""
        assert isinstance(args, list)
        self.config = parser.parse_args(args)

    def _parse_ckpt_path(self) -> None:
        """Lightning would take hyperparameters from the checkpoint; ours are in config.yaml."""

    def _set_seed(self) -> None:
        quiet()
        super()._set_seed()

    # --- Before the classes exist ----------------------------------------------------------------

    @property
    def options(self) -> Namespace:
        """The configuration of the command."""
        options: Namespace = self.config[self.subcommand]
        return options

    @property
    def folder(self) -> Path:
        """Where the run keeps its files."""
        return Path(self.options.trainer.default_root_dir)

    def before_instantiate_classes(self) -> None:
        options = self.options
        options.ckpt_path = self._checkpoint_path(options.ckpt_path)
        trainer = options.trainer
        if trainer.max_epochs is None and trainer.max_steps == -1 and trainer.max_time is None:
            trainer.max_epochs = _EPOCHS
        ranks = launched_ranks()
        if ranks is not None:
            trainer.devices, trainer.num_nodes = ranks.per_node, ranks.nodes
            if trainer.strategy == "auto":
                trainer.strategy = "ddp"

    def _checkpoint_path(self, path: str | None) -> str | None:
        if path is None and self.subcommand != "fit":
            path = "best"
        if path in ("best", "last"):
            path = str(self.folder / FOLDER / f"{path}.ckpt")
            if not Path(path).is_file():
                raise TorchMLError(
                    f"{path}: no such file, expected a checkpoint; say which by --ckpt_path"
                )
        return path

    def instantiate_classes(self) -> None:
        """Species that the configuration does not name are those of the training data."""
        model = self.options.model.init_args.get("model")
        arguments = getattr(model, "init_args", None)
        if arguments is None or arguments.get("species") != []:
            super().instantiate_classes()
            return
        part = Namespace({"data": self.options.data.clone()})  # type: ignore[no-untyped-call]
        data: DataModule = self._parser(self.subcommand).instantiate(part).data
        arguments.species = _species(data)
        super().instantiate_classes()
        self.datamodule = data  # it has read the files already

    def after_instantiate_classes(self) -> None:
        if self.options.ckpt_path is not None:
            checkpoint.check(self.options.ckpt_path, self.model)

    # --- The trainer -----------------------------------------------------------------------------

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        settings = {**self._get(self.config_init, "trainer"), **kwargs}
        callbacks: list[Callback] = _as_list(settings["callbacks"])
        plugins = _as_list(settings["plugins"])
        if settings["logger"] in (None, True) and self.subcommand == "fit":
            logs = self.folder / "logs"
            settings["logger"] = [
                TensorBoardLogger(logs, name="tensorboard"),
                CSVLogger(logs, name="csv", flush_logs_every_n_steps=1),
            ]
        elif settings["logger"] is None:
            settings["logger"] = False
        if settings["enable_checkpointing"] is None and self.subcommand != "fit":
            settings["enable_checkpointing"] = False
        if settings["enable_progress_bar"] is None and not _holds(callbacks, ProgressBar):
            callbacks.append(progress())
        if not _holds(plugins, CheckpointIO):
            plugins.append(AtomicCheckpointIO())
        environment = cluster_environment()
        if environment is not None and not _holds(plugins, ClusterEnvironment):
            plugins.append(environment)
        callbacks += self._callbacks(bool(settings["logger"]), settings["enable_checkpointing"])
        try:
            return L.Trainer(**settings | {"callbacks": callbacks, "plugins": plugins})
        except (MisconfigurationException, TypeError, ValueError) as error:
            raise TorchMLError(f"trainer: {' '.join(str(error).split())}") from error

    def _callbacks(self, logs: bool, checkpoints: bool | None) -> list[Callback]:
        options = self.config_init[self.subcommand]
        if self.subcommand == "predict":
            self.written = WritePredictions(self.folder / "predictions.extxyz")
            return [self.written]
        self.plots = Plots(self.folder, options.plots and not options.trainer.fast_dev_run)
        found: list[Callback] = [self.plots]
        if self.subcommand != "fit":
            self.groups = GroupErrors("val" if self.subcommand == "validate" else "test")
            return [*found, self.groups]
        found.append(FiniteLoss())
        if logs:
            found.append(LearningRateMonitor())
        if options.ema is not None:
            found.append(AverageWeights(options.ema))
        if options.early_stopping is not None:
            found.append(options.early_stopping.callback())
        if checkpoints is not False:
            found += options.checkpoint.callbacks(self.folder)
        return found

    # --- The commands ----------------------------------------------------------------------------

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        arguments: dict[str, Any] = super()._prepare_subcommand_kwargs(subcommand)
        arguments["ckpt_path"] = self.options.ckpt_path
        if subcommand in ("validate", "test"):
            arguments["verbose"] = False  # there is a table of our own
        if subcommand == "predict":
            arguments["return_predictions"] = False
        return arguments

    def before_fit(self) -> None:
        """Take the folder, and leave the configuration there."""
        if self.options.trainer.fast_dev_run:
            return
        if self.trainer.is_global_zero:
            self.check_folder()
        # Data that are wrong cost nobody the training that the folder holds. All ranks look: none
        # waits for another that has stopped.
        self.datamodule.prepare_for(self.model, "fit")
        if not self.trainer.is_global_zero:
            return
        if self.options.ckpt_path is None:
            self._clear_folder()
        self.folder.mkdir(parents=True, exist_ok=True)
        options = self.options.clone()
        options.ckpt_path, options.overwrite = None, False
        text = self._parser("fit").dump(options, skip_unset=False)
        new = self.folder / ".config.yaml.new"
        new.write_text(text, encoding="utf-8")
        new.replace(self.folder / "config.yaml")

    def check_folder(self) -> None:
        """Raise if a new training would replace one that the folder holds already."""
        options = self.options
        last = self.folder / FOLDER / "last.ckpt"
        if last.exists() and options.ckpt_path is None and not options.overwrite:
            raise TorchMLError(
                f"{self.folder} holds a training already: go on with it by --ckpt_path last, "
                "replace it by --overwrite true, or choose another trainer.default_root_dir"
            )

    def _clear_folder(self) -> None:
        for name in (FOLDER, "logs", "plots"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except SystemExit:
            # Lightning ends the process when somebody presses Ctrl-C.
            if not self.trainer.interrupted:
                raise
            raise TorchMLError("interrupted; --ckpt_path last goes on with it") from None

    def after_fit(self) -> None:
        if self.plots is not None and self.plots.best is not None:
            _, metrics, title = self.plots.best
            self._print(metrics_table(f"best {title}", metrics))
        best = self.folder / FOLDER / "best.ckpt"
        if best.exists() and not self.options.trainer.fast_dev_run:
            self._print(
                f"The model is in {best}; plots, logs and config.yaml are beside it.\n"
                f"To LAMMPS: python -m torchml_export {best} --install user"
            )

    def after_validate(self) -> None:
        self._print_errors("validation", metrics_of(self.trainer, "val"))

    def after_test(self) -> None:
        self._print_errors("test", metrics_of(self.trainer, "test"))

    def after_predict(self) -> None:
        assert self.written is not None
        if self.written.metrics:
            self._print(metrics_table("against the labels", self.written.metrics))
        self._print(f"Predictions are in {self.written.path}")

    def _print_errors(self, title: str, metrics: dict[str, float]) -> None:
        self._print(metrics_table(title, metrics))
        if self.groups is not None and self.groups.table:
            self._print(groups_table("by group", self.groups.table))

    def _print(self, what: Any) -> None:
        if what is not None and self.trainer.is_global_zero:
            Console(soft_wrap=True, highlight=False).print(what)


class _Plan(TrainingCLI):
    """Stops where the configuration is known to be right."""

    def instantiate_classes(self) -> None:
        pass

    def after_instantiate_classes(self) -> None:
        pass

    def _run_subcommand(self, subcommand: str) -> None:
        pass


# --- Doors ---------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """The commands of the terminal; an error is one line, and the status 1."""
    try:
        run(arguments)
    except TorchMLError as error:
        print(f"torchml {arguments[0]}: error: {error}", file=sys.stderr)
        return 1
    return 0


def run(arguments: Sequence[str]) -> TrainingCLI:
    """Do what the words of a command line say; what is wrong with them is a TorchMLError."""
    return _told(TrainingCLI, arguments)


def parse(arguments: Sequence[str]) -> TrainingCLI:
    """Only check the words of a command line; `options` and `folder` are what they say."""
    return _told(_Plan, arguments)


def _told(kind: type[TrainingCLI], arguments: Sequence[str]) -> TrainingCLI:
    try:
        return kind(arguments)
    except ArgumentError as error:
        raise TorchMLError(one_line(str(error))) from None
    except MisconfigurationException as error:
        raise TorchMLError(" ".join(str(error).split())) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise TorchMLError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        # jsonargparse wraps what constructors raise.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, TorchMLError):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise cause from None


def fit(config: Mapping[str, Any] | str | Path = {}, **overrides: Any) -> Run:  # noqa: B006
    """Train a potential, as `torchml fit` does.

    Args:
        config: the YAML file, or what would stand in it.
        overrides: what is to be different, with dots written as two underscores:
            `trainer__max_epochs=5`, or a whole section: `trainer={"max_epochs": 5}`.

    Raises:
        TorchMLError: with one sentence, for whatever is wrong with configuration or data.
    """
    return _command("fit", config, overrides)


def validate(config: Mapping[str, Any] | str | Path = {}, **overrides: Any) -> Run:  # noqa: B006
    """Errors on the validation data, as `torchml validate --config`; arguments as of `fit`."""
    return _command("validate", config, overrides)


def test(config: Mapping[str, Any] | str | Path = {}, **overrides: Any) -> Run:  # noqa: B006
    """Errors on the test data, as `torchml test`; arguments as of `fit`."""
    return _command("test", config, overrides)


def predict(config: Mapping[str, Any] | str | Path = {}, **overrides: Any) -> Run:  # noqa: B006
    """Predictions in a file, as `torchml predict`; arguments as of `fit`."""
    return _command("predict", config, overrides)


def _command(name: str, config: Mapping[str, Any] | str | Path, overrides: dict[str, Any]) -> Run:
    words = [name]
    for part in (config, _nested(overrides)):
        if not isinstance(part, Mapping):
            words += ["--config", str(part)]
        elif part:
            words += ["--config", json.dumps(part, default=str)]
    cli = run(words)
    metrics = {name: float(value) for name, value in cli.trainer.callback_metrics.items()}
    if cli.written is not None:
        metrics |= {f"predict/{name}": value for name, value in cli.written.metrics.items()}
    return Run(cli.folder, metrics, cli.trainer, cli.model, cli.datamodule)


def _nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """{"a__b": 1} as {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for name, value in overrides.items():
        *path, leaf = name.split("__")
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
        branch[leaf] = value
    return tree


# --- Helpers -------------------------------------------------------------------------------------


def quiet() -> None:
    """Silence what Lightning says about absent hardware, and advice that does not fit."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _UNWANTED_WARNINGS:
        warnings.filterwarnings("ignore", message)


def one_line(message: str) -> str:
    """What jsonargparse says over many lines: where it went wrong, and the innermost reason."""
    noise = ("Does not validate", "Subtypes:", "Errors:", "Given value", "Expected a <class 'None")
    keys: list[str] = []
    reasons: list[str] = []
    for line in message.splitlines():
        text = line.strip().removeprefix("- ")
        if text.startswith('Parser key "'):
            key, _, text = text.removeprefix('Parser key "').partition('":')
            keys.append(key)
            text = text.strip()
        elif text.startswith("Problem with given class_path"):
            reasons = [text.removeprefix("Problem with given class_path ").rstrip(":").strip("'")]
            continue
        given = text.removeprefix("Given value: ")
        if given != text and len(given) < 40 and not given.startswith(("{", "Namespace", "Nested")):
            reasons.append(f"given {given}")
        elif text and not text.startswith(noise):
            reasons.append(re.sub(r"<class '([^']*)'>", r"\1", text))
    # Of two kinds of classes that would do, what the second one is not says nothing.
    told = [reason for reason in reasons if "does not correspond to a subclass" not in reason]
    reasons = told if len(told) > 1 else reasons
    where = ".".join(keys)
    if "class_path='torch.optim.Optimizer'" in message:  # arguments, but not of which optimiser
        reasons = ["its class is not given, expected one beside its arguments: AdamW, for example"]
    return ": ".join([*([where] if where else []), *reasons])


def _description(command: str) -> str:
    return f"{_DESCRIPTIONS[command]}\n\n{_USAGE}" if command == "fit" else _DESCRIPTIONS[command]


def _species(data: DataModule) -> list[str]:
    found = elements(data.configurations("train"))
    if not found:
        raise TorchMLError(
            "there are no training data to take the species from: set data.train, or "
            "model.model.init_args.species"
        )
    return found


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _holds(some: Sequence[Any], kind: type) -> bool:
    return any(isinstance(one, kind) for one in some)
