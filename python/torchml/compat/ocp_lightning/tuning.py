"""The largest batch size and a learning rate, found by Lightning's Tuner."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import yaml  # type: ignore[import-untyped]
from lightning.pytorch.tuner.tuning import Tuner

from torchml.compat.ocp_lightning.configs import Tune
from torchml.data.module import DataModule
from torchml.errors import TorchMLError
from torchml.training.loop.preparation import prepare
from torchml.training.loop.task import Task
from torchml.training.parse_errors import one_sentence
from torchml.training.run import assemble
from torchml.training.settings import from_mapping

FILE = "tuned.yml"


def tune(configuration: Mapping[str, Any], wanted: Tune, keys: Mapping[str, Sequence[str]]) -> Path:
    """Find batch size and learning rate, print them, and write them into the folder of the run.

    Args:
        configuration: of `torchml fit`.
        wanted: what to find, and how.
        keys: where batch_size and lr are in the configuration of the Lightning edition.

    Returns:
        The file, which is one more --config.

    Raises:
        TorchMLError: one sentence, for the first value, file or structure that is wrong, or if no
            learning rate lowers the loss.
    """
    _check(wanted)
    settings = from_mapping("fit", configuration, {})
    found: dict[str, Any] = {}
    with one_sentence(), tempfile.TemporaryDirectory() as scratch:
        options, data = assemble(settings)
        task: Task = options.model
        prepare(task, data, "fit")
        arguments = dict(vars(options.trainer)) | _ONLY_STEPS | {"default_root_dir": scratch}
        if wanted.batch_size:
            size = _batch_size(Tuner(L.Trainer(**arguments)), task, data, wanted)
            found |= _section(keys["batch_size"], size)
            path = _write(settings.folder, found)  # kept also if no learning rate is found
            print(f"batch size: {size} of {len(data.dataset('train'))} configurations, in {path}")
            data.batch_size = size
        if wanted.lr:
            rate = _learning_rate(Tuner(L.Trainer(**arguments)), task, data, wanted)
            print(f"learning rate: {rate:.3g}")
            found |= _section(keys["lr"], rate)
        path = _write(settings.folder, found)
    print(f"Both are in {path}: add --config {path}" if len(found) > 1 else f"It is in {path}")
    return path


def _check(wanted: Tune) -> None:
    if not (wanted.batch_size or wanted.lr):
        raise TorchMLError("tune.batch_size and tune.lr are false, expected at least one of them")
    for key in ("steps_per_trial", "init_val", "max_trials", "num_training"):
        if getattr(wanted, key) < 1:
            raise TorchMLError(f"tune.{key} is {getattr(wanted, key)}, expected 1 or more")
    if not 0 < wanted.min_lr < wanted.max_lr:
        raise TorchMLError(
            f"tune.min_lr is {wanted.min_lr:g} and tune.max_lr {wanted.max_lr:g}, expected "
            "positive numbers, the second one larger"
        )


# A trainer that takes steps, does not validate, and leaves no files.
_ONLY_STEPS = {
    "logger": False,
    "callbacks": None,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "max_epochs": -1,
    "max_steps": -1,
    "fast_dev_run": False,
    "check_val_every_n_epoch": 1_000_000_000,
    "val_check_interval": None,
    "num_sanity_val_steps": 0,
}


def _batch_size(tuner: Tuner, task: Task, data: DataModule, wanted: Tune) -> int:
    task.prepared = True
    size = tuner.scale_batch_size(
        task,
        datamodule=data,
        mode=wanted.mode,
        steps_per_trial=wanted.steps_per_trial,
        init_val=wanted.init_val,
        max_trials=wanted.max_trials,
    )
    assert size is not None
    return min(size, len(data.dataset("train")))


def _learning_rate(tuner: Tuner, task: Task, data: DataModule, wanted: Tune) -> float:
    task.prepared = True
    finder = tuner.lr_find(
        task,
        datamodule=data,
        min_lr=wanted.min_lr,
        max_lr=wanted.max_lr,
        num_training=wanted.num_training,
        update_attr=False,  # the task has an optimiser, not an attribute
    )
    rate = None if finder is None else finder.suggestion()
    if rate is None:
        raise TorchMLError(
            f"no learning rate from {wanted.min_lr:g} to {wanted.max_lr:g} lowers the loss in "
            f"{wanted.num_training} steps, expected larger tune.num_training or another range"
        )
    return float(f"{rate:.3g}")


def _section(keys: Sequence[str], value: Any) -> dict[str, Any]:
    """{"a": {"b": value}} for the keys a and b."""
    for key in reversed(keys):
        value = {key: value}
    section: dict[str, Any] = value
    return section


def _write(folder: Path, found: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    new = folder / f".{FILE}.new"
    new.write_text(yaml.safe_dump(dict(found), sort_keys=False), encoding="utf-8")
    new.replace(path)
    return path
