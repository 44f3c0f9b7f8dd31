"""A committee, `members: N`: the same training several times, from other random numbers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from torchml.errors import TorchMLError
from torchml.importers.committees import MEMBER
from torchml.termination import terminated_in_order
from torchml.training.distillation import check_distillation, distill
from torchml.training.launchers import launched_ranks
from torchml.training.processes import SideBySide
from torchml.training.run import Run
from torchml.training.run import run as run_settings
from torchml.training.run_folder import CHECKPOINTS
from torchml.training.settings import Settings, from_words

MEMBERS = "--members"
CHECKPOINT = "--ckpt_path"
_ALONE = (MEMBERS, "1", "--distill", "false")


def fit_committee(settings: Settings, words: Sequence[str], path: str) -> Run:
    """Train the members of a committee side by side, and a network that learns their mean.

    Member k (from 0) has the seeds `seed_everything + k` and `data.seed + k`: other initial
    weights, another order of the batches and, where neither `data.val` nor `data.split` says which
    configurations validate, another tenth of the data to validate. With `distill`, all have the
    same `data.seed`, so that what validates is new to all. With `--ckpt_path last` what began is
    resumed, and the rest trained.

    Args:
        settings: what the words say.
        words: the command, which is fit, then its words without --ckpt_path.
        path: that of --ckpt_path, empty where it is not given.

    Returns:
        The run of the network that learned from the members, in the folder of the configuration;
        without `distill` that of the last member, in a folder within that.

    Raises:
        TorchMLError: one sentence, for the first key, value or file that is wrong.
    """
    if launched_ranks() is not None:
        raise TorchMLError(
            "--members trains on one rank, but a launcher started several, expected a training "
            f"for each member, with trainer.default_root_dir RUN/{MEMBER}K and its own seeds"
        )
    if path not in ("", "last"):
        raise TorchMLError(f"--ckpt_path is '{path}' beside --members, expected last")
    count, student = settings.options.members, settings.options.distill
    if student:
        check_distillation(settings, resumed=path == "last")
    folders = [settings.folder / f"{MEMBER}{k + 1}" for k in range(count)]
    _remove_others(settings, folders)
    trainings = {
        f"member {k + 1} of {count}": _resumed([*words, *_own(settings, folder, k)], folder, path)
        for k, folder in enumerate(folders)
    }
    show = partial(Console(soft_wrap=True, highlight=False).print, markup=False)
    processes = _processes(settings)
    show(f"{count} members, {processes.at_once} at once: {folders[0]} to {folders[-1].name}")
    try:
        with terminated_in_order(), closing(processes.lines(trainings)) as lines:
            for name, line in lines:
                show(f"{name}: {line}")
    except KeyboardInterrupt:
        raise TorchMLError("interrupted; resume it by --ckpt_path last") from None
    if student:
        show(f"the network that learns their mean: {settings.folder}")
        own = distill(settings, [Ended(folder).best for folder in folders])
        result = run_settings(from_words(_resumed([*words, *own], settings.folder, path)))
    else:
        result = Ended(folders[-1])
    show(f"export the members: python -m torchml_export {settings.folder} --committee")
    return result


@dataclass(init=False)
class Ended(Run):
    """The run of a training in a process of its own, which leaves files, and no objects."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"{name}: members are trained in processes of their own, which leave files alone, "
            "expected folder, best or last"
        )


def _processes(settings: Settings) -> SideBySide:
    """As many members at once as there are cores, or one on another device than the CPU."""
    options = settings.options
    cores = len(os.sched_getaffinity(0))
    devices = str(options.trainer.devices)
    ranks = int(devices) if settings.on_cpu and devices.isdigit() else 1
    at_once = options.members_at_once
    if at_once is None:
        at_once = cores // ranks if settings.on_cpu else 1
    at_once = max(1, min(at_once, options.members))
    return SideBySide(at_once, threads=max(1, cores // (at_once * ranks)))


def _resumed(words: Sequence[str], folder: Path, path: str) -> list[str]:
    """The words of a training of one network, which goes on with what began in its folder."""
    begun = path == "last" and (folder / CHECKPOINTS / "last.ckpt").is_file()
    return [*words, *_ALONE, *([CHECKPOINT, "last"] if begun else [])]


def _own(settings: Settings, folder: Path, k: int) -> list[str]:
    """What a member does not share with the others."""
    seed = settings.options.seed_everything
    if seed is None or isinstance(seed, bool):
        raise TorchMLError(
            f"seed_everything is {seed} beside --members, expected a number, so that the members "
            "start from different ones"
        )
    of_data = int(settings.options.data.seed) + (0 if settings.options.distill else k)
    return [
        *("--trainer.default_root_dir", str(folder)),
        *("--seed_everything", str(int(seed) + k)),
        *("--data.seed", str(of_data)),
    ]


def _remove_others(settings: Settings, folders: Sequence[Path]) -> None:
    """Members of an earlier training, which had more, must not become part of this one."""
    others = [one for one in sorted(settings.folder.glob(f"{MEMBER}*")) if one not in folders]
    if others and not settings.options.overwrite:
        raise TorchMLError(
            f"{others[0]} holds a member of an earlier training, which had more members, expected "
            "another trainer.default_root_dir, or --overwrite to remove it"
        )
    for one in others:
        shutil.rmtree(one)


def taken(arguments: Sequence[str], option: str) -> tuple[str, list[str]]:
    """Return the value of an option, empty where it is not given, and the other words."""
    value, rest, words = "", [], iter(arguments)
    for word in words:
        name, equals, text = word.partition("=")
        if name == option:
            value = text if equals else next(words, "")
        else:
            rest.append(word)
    return value, rest
