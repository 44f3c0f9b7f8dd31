"""What a resumed training may change, and what not.

A checkpoint contains the configuration with which it was written. A run that resumes from it
compares that with its own: what differs takes effect and is printed, or is an error.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml  # type: ignore[import-untyped]

from torchml.data.checks import structure_codes
from torchml.data.module import DataModule
from torchml.errors import TorchMLError
from torchml.training.run_folder import CHECKPOINTS

KEY = "configuration"
"""The entry of a checkpoint with the content of config.yaml."""

# What the weights in the checkpoint stand for.
_FIXED = re.compile(
    r"model\.(normalization|init_from)\b|model\.targets\.\d+\.(name|kind|width|reduce)$"
)

# What decides how an epoch is divided into batches.
_BATCHES = re.compile(
    r"data\.(batch_size|batch_by|pre_batch|seed)$|data\.replay\b|"
    r"trainer\.(devices|num_nodes|limit_train_batches|overfit_batches|accumulate_grad_batches)$"
)

# What decides which structures train and which validate.
_PARTS = re.compile(r"data\.(train|val|split)\b")


@dataclass(frozen=True)
class Change:
    """A setting that differs from that of the checkpoint."""

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key}: {_text(self.old)} → {_text(self.new)}"


@dataclass
class Resumption:
    """A training that continues from a checkpoint.

    Attributes:
        path: of the checkpoint.
        steps: steps that were taken.
        epochs: epochs that are complete.
        in_epoch: whether the checkpoint was written between the batches of an epoch.
        changes: settings that differ.
        ended: the limit that the checkpoint has reached, if any: the run takes no step.
    """

    path: str
    steps: int
    epochs: int
    in_epoch: bool
    changes: list[Change] = field(default_factory=list)
    ended: str | None = None

    def changed(self, pattern: str) -> bool:
        """Whether a setting whose key begins with a regular expression differs."""
        return any(re.match(pattern, change.key) for change in self.changes)

    def __str__(self) -> str:
        lines = [f"resumed from {self.path} after epoch {self.epochs}, step {self.steps}"]
        if self.ended is not None:
            return "\n".join([*lines, f"  nothing remains to train: {self.ended}"])
        return "\n".join([*lines, *(f"  {change}" for change in self.changes)])


def compare(
    path: str, content: Mapping[str, Any], configuration: Mapping[str, Any], data: DataModule
) -> Resumption:
    """Compare the configuration of a run with that of the checkpoint from which it resumes.

    Args:
        path: of the checkpoint.
        content: of the checkpoint.
        configuration: of the run, as config.yaml contains it.
        data: of the run.

    Raises:
        TorchMLError: for a setting that a resumed run may not change.
    """
    progress = content["loops"]["fit_loop"]
    batch = progress["epoch_loop.batch_progress"]
    in_epoch = batch["current"]["ready"] > 0 and not batch["is_last_batch"]
    epochs = progress["epoch_progress"]["current"]["ready"] - int(not batch["is_last_batch"])
    resumption = Resumption(path, content["global_step"], max(epochs, 0), in_epoch)
    old = content.get(KEY) or _beside(Path(path))
    if old is not None:
        resumption.changes = list(_changes(old, configuration))
    _check(resumption, configuration, content, data)
    for key, done in (("max_epochs", resumption.epochs), ("max_steps", resumption.steps)):
        limit = configuration["trainer"][key]
        if limit is not None and 0 <= limit <= done:
            resumption.ended = f"trainer.{key} is {limit}"
    return resumption


def _beside(path: Path) -> Any:
    """The configuration in the folder of a run: earlier versions wrote none into checkpoints."""
    file = path.parent.parent / "config.yaml"
    if path.parent.name != CHECKPOINTS or not file.is_file():
        return None
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _check(
    resumption: Resumption,
    configuration: Mapping[str, Any],
    content: Mapping[str, Any],
    data: DataModule,
) -> None:
    """Raise for the first change that a resumed run may not make."""
    for change in resumption.changes:
        if _FIXED.match(change.key):
            raise _refused(resumption, change, "its weights depend on that")
        if resumption.in_epoch and _BATCHES.match(change.key):
            raise _refused(
                resumption,
                change,
                "in the middle of an epoch the batches cannot change; a checkpoint of the end of "
                "an epoch can resume with others",
            )
    epochs = configuration["trainer"]["max_epochs"]
    if epochs is not None and 0 <= epochs < resumption.epochs:
        raise TorchMLError(
            f"{resumption.path} is of epoch {resumption.epochs}, but trainer.max_epochs is "
            f"{epochs}, expected at least {resumption.epochs}"
        )
    _check_parts(resumption, content.get(type(data).__name__, {}).get("structures"), data)


def _refused(resumption: Resumption, change: Change, reason: str) -> TorchMLError:
    return TorchMLError(
        f"{resumption.path} was trained with {change.key} {_text(change.old)}, but the "
        f"configuration says {_text(change.new)}: {reason}"
    )


def _check_parts(resumption: Resumption, old: Mapping[str, Any] | None, data: DataModule) -> None:
    """Raise if a structure that validated would train, or the other way round.

    Without codes of the structures (files that are read on demand, checkpoints of earlier
    versions) the settings must be the same.
    """
    new = data.structures()
    if old is None or len(old) < 2 or len(new) < 2:
        for change in resumption.changes:
            default_split = data.split is None and change.key == "data.seed"
            if _PARTS.match(change.key) or default_split:
                raise _refused(
                    resumption, change, "training and validation data might mix, begin a new run"
                )
        return
    before = {part: np.asarray(codes) for part, codes in old.items()}
    if resumption.in_epoch and not np.array_equal(new["train"], before["train"]):
        raise TorchMLError(
            f"{resumption.path} is of the middle of an epoch, where the training data cannot "
            "change; a checkpoint of the end of an epoch can resume with others"
        )
    for part, other, verb in (("train", "val", "validates"), ("val", "train", "trains")):
        moved = np.intersect1d(new[part].numpy(), before[other])
        moved = np.setdiff1d(moved, before[part])  # in both before, where duplicates are allowed
        if len(moved):
            raise TorchMLError(
                f"{len(moved)} configurations are in the {_NAMES[part]} data now, but "
                f"{resumption.path} {verb} with them (the first is "
                f"{_named(data.configurations(part), moved)}), "  # type: ignore[arg-type]
                "expected the data and the split of that run: training and validation must not mix"
            )


_NAMES = {"train": "training", "val": "validation"}


def _named(configurations: Any, codes: Any) -> str:
    """The name of the first configuration with one of the codes."""
    return next(str(one.name) for one in configurations if structure_codes([one])[0] in codes)


# --- Differences of configurations --------------------------------------------------------------


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = dict(_flat(_effective(old))), dict(_flat(_effective(new)))
    for key in after | before:
        one, other = before.get(key), after.get(key)
        if one != other:
            yield Change(key, one, other)


def _effective(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the values for which null stands in the arguments of the task."""
    model = dict(configuration["model"])
    arguments = dict(model.get("init_args") or {})
    if arguments.get("optimizer") is None:
        arguments["optimizer"] = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}}
    arguments["optimizer"] = _with_defaults(arguments["optimizer"])
    if arguments.get("normalization") is None:
        arguments["normalization"] = {"references": "least_squares", "scale": "auto"}
    return {**configuration, "model": {**model, "init_args": arguments}}


def _with_defaults(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """The description of an optimiser of torch with all its arguments."""
    kind = getattr(torch.optim, optimizer["class_path"].removeprefix("torch.optim."), None)
    if kind is None:
        return dict(optimizer)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is not parameter.empty
    }
    return {**optimizer, "init_args": defaults | (optimizer.get("init_args") or {})}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of all leaves, with the keys of the command line."""
    if isinstance(value, tuple | list):
        if any(isinstance(entry, Mapping) for entry in value):
            value = {str(index): entry for index, entry in enumerate(value)}
        else:
            value = list(value)
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, entry in value.items():
        if key in ("class_path", "init_args", "dict_kwargs"):
            yield from _flat(entry, name)
        else:
            yield from _flat(entry, f"{name}.{key}".lstrip("."))


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
