"""The configuration of a run: its keys, its defaults, and its parser, which is LightningCLI's.

`from_words` reads a command line, `from_mapping` what a Python program gives; both return
`Settings`, which `torchml.training.run` carries out.
"""

from __future__ import annotations

import json
import shutil
from argparse import ArgumentError, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
import yaml  # type: ignore[import-untyped]
from jsonargparse import DefaultHelpFormatter, Namespace
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from torchml.data.module import DataModule
from torchml.errors import TorchMLError
from torchml.importers.fine_tuned import LoRA
from torchml.models.names import public_path
from torchml.training.callbacks.averaging import Averaging
from torchml.training.callbacks.checkpoint_files import Checkpoints, Patience
from torchml.training.launchers import launched_ranks
from torchml.training.loop.init_from import InitFrom, init_from_of
from torchml.training.loop.task import Task
from torchml.training.parse_errors import one_sentence
from torchml.training.quiet import quiet
from torchml.training.run_folder import CHECKPOINTS

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
  torchml fit --config silicon.yaml --ckpt_path last                (resumes after the last epoch)
  torchml fit --config silicon.yaml --members 4   (a committee, in run/member1, run/member2, ...)
  torchml fit --config silicon.yaml --members 4 --distill       (and, in run, one network of them)
  torchml test --config run/config.yaml --data.test test.extxyz     (with run/checkpoints/best.ckpt)
"""

# With another class, arguments that it has too keep these values.
_DEFAULT_MODEL = {
    "class_path": "torchml.training.S2EF",
    "init_args": {
        "model": {
            "class_path": "torchml.models.ACE",
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

CONFIG = "config.yaml"
EARLIER_CONFIGS = "config_*.yaml"
"""Configurations of a run before it was resumed with others, from 0 on."""

# Arguments of the methods of Lightning's Trainer that are set here.
_SET_HERE = {"model", "datamodule", "dataloaders", "weights_only", "verbose"}
_SET_HERE |= {"train_dataloaders", "val_dataloaders", "return_predictions"}

# Some of Lightning's callbacks have defaults that are members of enumerations.
yaml.SafeDumper.add_multi_representer(
    Enum, lambda dumper, member: dumper.represent_data(member.value)
)


@dataclass
class Settings:
    """A command and its configuration.

    Attributes:
        command: fit, validate, test or predict.
        options: the values of all keys, as jsonargparse holds them.
        parser: checks, instantiates and writes the options.
    """

    command: str
    options: Namespace
    parser: LightningArgumentParser

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return Path(self.options.trainer.default_root_dir)

    @property
    def is_trial(self) -> bool:
        """Whether the run is a few steps that leave no files (trainer.fast_dev_run)."""
        return bool(self.options.trainer.fast_dev_run)

    @property
    def on_cpu(self) -> bool:
        """Whether the trainer uses no accelerator."""
        chosen = self.options.trainer.accelerator
        return chosen == "cpu" or (chosen == "auto" and not torch.accelerator.is_available())

    @property
    def is_committee(self) -> bool:
        """Whether several networks are trained.

        Raises:
            TorchMLError: a number of them is wrong, or there is no committee to learn from.
        """
        members, distill = self.options.members, self.options.distill
        if (at_once := self.options.members_at_once) is not None and at_once < 1:
            raise TorchMLError(f"members_at_once is {at_once}, expected at least 1, or null")
        if members < 1 or (distill and members < 2):
            least = "2 with distill" if distill else "1"
            raise TorchMLError(f"members is {members}, expected at least {least}")
        return bool(members > 1)

    @property
    def init_from(self) -> InitFrom | None:
        """The trained potential from which the training starts."""
        value = self.options.model.init_args.get("init_from")
        if value is None or isinstance(value, str):
            return init_from_of(value)
        arguments = {**vars(value)}
        if arguments["lora"] is not None:
            arguments["lora"] = LoRA(**vars(arguments["lora"]))
        return InitFrom(**arguments)

    def check_folder(self) -> None:
        """Raise if a new training would replace the one that the folder holds."""
        last = self.folder / CHECKPOINTS / "last.ckpt"
        if last.exists() and self.options.ckpt_path is None and not self.options.overwrite:
            raise TorchMLError(
                f"{self.folder} holds a training already: resume it by --ckpt_path last, replace "
                "it by --overwrite, or choose another trainer.default_root_dir"
            )

    def instantiate(self, *, without: str = "", only: str = "") -> Namespace:
        """Return the options with objects in place of class paths, for one key or all but one."""
        options = Namespace()  # type: ignore[no-untyped-call]
        for key, value in vars(self.options).items():
            if key != without and (not only or key == only):
                options[key] = value
        return self.parser.instantiate(options.clone())  # type: ignore[no-any-return]

    def text(self, **sections: Any) -> str:
        """Return the content of config.yaml.

        Args:
            sections: values for model and data where the run uses objects of the program.
        """
        options = self.options.clone()
        options.ckpt_path, options.overwrite = None, False
        for key, value in sections.items():
            options[key] = value
        _use_public_names(options)
        return str(self.parser.dump(options, skip_unset=False, skip_validation=bool(sections)))

    def save(self, text: str) -> None:
        """Write config.yaml into the folder of the run; an earlier one becomes config_N.yaml."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / CONFIG
        if file.exists() and file.read_text(encoding="utf-8") != text:
            count = len(list(self.folder.glob(EARLIER_CONFIGS)))
            shutil.copyfile(file, self.folder / EARLIER_CONFIGS.replace("*", str(count)))
        new = self.folder / f".{CONFIG}.new"
        new.write_text(text, encoding="utf-8")
        new.replace(file)


def from_words(arguments: Sequence[str]) -> Settings:
    """Parse a command line.

    Args:
        arguments: the command (fit, validate, test or predict), then its words.

    Raises:
        TorchMLError: one sentence, for the first key or value that is wrong.
    """
    with one_sentence():
        quiet()
        command = arguments[0]
        parser = _Parser(command, list(arguments))
        settings = Settings(command, parser.config[command], parser.of_command)
        if settings.init_from is not None:
            _without_network(settings.options.model, list(arguments))
        return _completed(settings)


def from_mapping(
    command: str, config: Mapping[str, Any] | str | Path, overrides: Mapping[str, Any]
) -> Settings:
    """Parse the configuration of a Python program; see `words_of`."""
    return from_words(words_of(command, config, overrides))


def words_of(
    command: str, config: Mapping[str, Any] | str | Path, overrides: Mapping[str, Any]
) -> list[str]:
    """Return the command line that says what a Python program gives.

    Args:
        command: fit, validate, test or predict.
        config: a YAML file, or its content.
        overrides: values that replace those of `config`, in the same tree.

    Raises:
        TorchMLError: a value is an object.
    """
    # jsonargparse merges texts alone as the command line does, class by class.
    words = [command]
    for part in (config, overrides):
        if not isinstance(part, Mapping):
            words += ["--config", str(part)]
        elif part:
            words += ["--config", json.dumps(part, default=_text)]
    return words


class _HelpFormatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the examples."""


class _Trainer(L.Trainer):
    """Lightning's trainer, whose limits are whole numbers where they can be.

    Lightning writes `Optional[Union[int, float]]`. typing hands out `Optional[Union[float, int]]`
    for it where an import before wrote that, and 1 would be read as 1.0: all batches, not one.
    """

    def __init__(
        self,
        *arguments: Any,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(
            *arguments,
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            limit_predict_batches=limit_predict_batches,
            overfit_batches=overfit_batches,
            **options,
        )


class _Parser(LightningCLI):
    """LightningCLI with the defaults of this package; it parses, and runs nothing."""

    def __init__(
        self, command: str, words: list[str], default: Mapping[str, Any] = _DEFAULT_MODEL
    ) -> None:
        self.command = command
        self.default = default
        description = _DESCRIPTIONS[command] + (f"\n\n{_USAGE}" if command == "fit" else "")
        # Errors are raised, not printed with the usage of a hundred options.
        options: dict[str, Any] = {"exit_on_error": False, "formatter_class": _HelpFormatter}
        of_command = {"description": description, "usage": _USAGE_LINE.format(command)}
        super().__init__(
            Task,
            DataModule,
            subclass_mode_model=True,
            save_config_callback=None,
            trainer_class=_Trainer,
            seed_everything_default=0,
            trainer_defaults=_TRAINER_DEFAULTS,
            parser_kwargs={
                **options,
                "prog": "torchml",
                "description": "Training of potentials.",
                command: options | of_command,
            },
            args=words,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    @property
    def of_command(self) -> LightningArgumentParser:
        """The parser of the command's options."""
        return self._parser(self.command)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Parse this command alone: the parsers of the others would only take time."""
        return {self.command: _SET_HERE}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the keys besides model, data and trainer."""
        parser.set_defaults({"model": self.default})
        parser.add_argument(
            "--ema", type=Averaging | None, default=Averaging(), help="Averaged weights, or null."
        )
        parser.add_argument(
            "--early_stopping",
            type=Patience | None,
            default=None,
            help="End the training when the monitored metric stops improving.",
        )
        parser.add_argument(
            "--checkpoint", type=Checkpoints, default=Checkpoints(), help="Checkpoints to keep."
        )
        parser.add_argument(
            "--plots", type=bool, default=True, help="Draw parity plots and learning curves."
        )
        parser.add_argument(
            "--members", type=int, default=1, help="Networks to train, from other random numbers."
        )
        parser.add_argument(
            "--members_at_once",
            type=int | None,
            default=None,
            help="Members that train side by side; by default one for each core, one on a GPU.",
        )
        parser.add_argument(
            "--distill",
            type=bool,
            nargs="?",
            const=True,
            default=False,
            help="Train one network more, which learns the mean of the members.",
        )
        parser.add_argument(
            "--overwrite",
            type=bool,
            nargs="?",
            const=True,
            default=False,
            help="Replace the training that trainer.default_root_dir holds.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse without Lightning's warning about sys.argv."""
        assert isinstance(args, list)
        self.config = parser.parse_args(args)

    def _parse_ckpt_path(self) -> None:
        """Lightning would take hyperparameters from the checkpoint; ours are in config.yaml."""

    def _set_seed(self) -> None:
        pass

    def instantiate_classes(self) -> None:
        pass

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def _completed(settings: Settings) -> Settings:
    """Fill in what depends on the command, the folder and the launcher."""
    options, trainer = settings.options, settings.options.trainer
    options.ckpt_path = _checkpoint_path(settings)
    if trainer.max_epochs is None and trainer.max_steps == -1 and trainer.max_time is None:
        trainer.max_epochs = _EPOCHS
    ranks = launched_ranks()
    if ranks is not None:
        trainer.devices, trainer.num_nodes = ranks.per_node, ranks.nodes
        if trainer.strategy == "auto":
            trainer.strategy = "ddp"
    return settings


def _without_network(model: Namespace, words: list[str]) -> None:
    """Leave out the network: the file of `init_from` has one.

    Raises:
        TorchMLError: a network is given too.
    """
    if _name_network(words):
        raise TorchMLError(
            f"model.model is {model.init_args.model.class_path}, but model.init_from has a "
            "network, whose cutoff and sizes stay; expected one of them"
        )
    model.init_args.model = None


def _name_network(words: list[str]) -> bool:
    """Whether there is a network without the default one, or arguments of the default one."""
    try:
        parser = _Parser(words[0], list(words), {"class_path": _DEFAULT_MODEL["class_path"]})
    except ArgumentError:
        return True
    return parser.config[words[0]].model.init_args.get("model") is not None


def _checkpoint_path(settings: Settings) -> str | None:
    path: str | None = settings.options.ckpt_path
    if path is None and settings.command != "fit":
        path = "best"
    if path in ("best", "last"):
        path = str(settings.folder / CHECKPOINTS / f"{path}.ckpt")
        if not Path(path).is_file():
            raise TorchMLError(
                f"{path}: no such file, expected a checkpoint; name one by --ckpt_path"
            )
    return path


def _text(value: Any) -> str:
    """A path, or another value that is written as a text."""
    if isinstance(value, torch.nn.Module | LightningDataModule | Callback):
        raise TorchMLError(
            f"the configuration holds a {type(value).__name__}, expected numbers, texts and class "
            "paths; networks and data modules are given as the arguments model and data"
        )
    return str(value)


def _use_public_names(value: Any) -> None:
    """Replace class paths of this package by public ones, which later versions know too."""
    if isinstance(value, list):
        for entry in value:
            _use_public_names(entry)
    if not isinstance(value, (dict, Namespace)):
        return
    items = value if isinstance(value, dict) else vars(value)
    for key, entry in items.items():
        if key == "class_path" and isinstance(entry, str):
            items[key] = public_path(entry)
        else:
            _use_public_names(entry)
