"""One network that learns the mean of a committee: `members: N` with `distill: true`.

    members ─► labels of the training configurations and of changed copies ─► fit

The errors of the members that differ from one to the next cancel in their mean, and a network that
learns the mean in many structures has nearly its accuracy at the cost of one member.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from torchml.data.copies import Copies
from torchml.data.module import DataModule, Part
from torchml.data.sequences import Joined
from torchml.data.writing import write_extxyz
from torchml.errors import TorchMLError
from torchml.evaluation.labelling import labelled
from torchml.models.staged import StagedModel
from torchml.training.loop.task import S2EF
from torchml.training.run import assemble
from torchml.training.settings import Settings

FOLDER = "distillation"
"""Where the data are that the network learns, in the folder of the run."""

COPIES = 3
"""Changed copies of each training configuration."""

_RATE = 0.4
"""Learning rate, as a fraction of that of the members."""

_OTHERS: tuple[Part, Part] = ("val", "test")


def check_distillation(settings: Settings, resumed: bool) -> None:
    """Raise where no network can learn from the members, before they are trained.

    Args:
        settings: of the committee.
        resumed: what began is resumed.

    Raises:
        TorchMLError: the task is another than energies and forces, the folder holds a training, or
            the members leave no files.
    """
    if settings.is_trial:
        raise TorchMLError(
            "distill is true, but trainer.fast_dev_run leaves no members to learn from, expected "
            "distill: false in a trial"
        )
    options, _ = assemble(settings)
    task = options.model
    if task.kind != S2EF.kind or task.heads.targets:
        raise TorchMLError(
            "distill is true, but the task learns more than energies, forces and stress, of which "
            "the labels are made, expected torchml.training.S2EF without targets"
        )
    if not resumed:
        settings.check_folder()


def distill(settings: Settings, teachers: Sequence[Path]) -> list[str]:
    """Write what the network learns, and return the words of its training beside the others.

    It begins with the weights of the first member. Its steps are as many as those of a member, its
    weight decay is less in the proportion of the data. Data that validate or test keep their
    labels.

    Args:
        settings: of the committee.
        teachers: checkpoints of the members.

    Raises:
        TorchMLError: the data cannot be read or written.
    """
    options, module = assemble(settings)
    task: S2EF = options.model
    originals = module.configurations("train")
    folder = settings.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    train = folder / "train.extxyz"
    structures = Joined([originals, Copies(originals, COPIES, module.seed)])
    if not train.is_file() or settings.options.overwrite:
        console = Console(soft_wrap=True, highlight=False)
        console.print(f"labelling {len(structures)} configurations: {train}", markup=False)
        has_stress = any(one.stress is not None for one in originals)
        found = labelled(
            structures,
            teachers,
            forces="forces" in task.learned,
            stress="stress" in task.learned and has_stress,
            device="cpu" if settings.on_cpu or not torch.cuda.is_available() else "cuda",
        )
        write_extxyz(found, train)
    words = ["--data.train", str(train)]
    for name in ("keys", "format", "weights", "replay", "predict"):
        words += [f"--data.{name}", "null"]
    words += _other_parts(module, folder)
    share = len(originals) / len(structures)
    words += _shorter(settings, share) + _less_decay(settings, share)
    return words if isinstance(task.model, StagedModel) else words + _beginning(teachers[0])


def _beginning(teacher: Path) -> list[str]:
    """The words that begin with the weights of a member: it is half the way to the mean."""
    rule = {"file": str(teacher), "references": "keep", "rate": _RATE}
    return ["--model.model", "null", "--model.init_from", json.dumps(rule)]


def _shorter(settings: Settings, share: float) -> list[str]:
    """The words of as many steps with more data."""
    epochs = settings.options.trainer.max_epochs
    if epochs is None or epochs < 1:
        return []
    return ["--trainer.max_epochs", str(max(1, round(epochs * share)))]


def _less_decay(settings: Settings, share: float) -> list[str]:
    """The words of less weight decay: a prior counts less beside more data, which have no noise."""
    optimizer = settings.options.model.init_args.get("optimizer")
    decay = optimizer and optimizer.get("init_args", {}).get("weight_decay")
    if not decay:
        return []
    return ["--model.optimizer.init_args.weight_decay", str(decay * share)]


def _other_parts(module: DataModule, folder: Path) -> list[str]:
    """Write the data that validate and test, and return the words that name them."""
    words = []
    for part in _OTHERS:
        configurations = module.configurations(part)
        file = folder / f"{part}.extxyz"
        if len(configurations):
            write_extxyz(configurations, file)
        words += [f"--data.{part}", str(file) if len(configurations) else "null"]
    # Without data that validate, none are cut from what trains.
    validates = len(module.configurations("val"))
    return [*words, "--data.split", "null" if validates else '{"val": 0}']
