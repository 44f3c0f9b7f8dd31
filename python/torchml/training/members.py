"""A committee, `members: N`: the same training several times, from other random numbers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from torchml.errors import TorchMLError
from torchml.importers.committees import MEMBER
from torchml.training.distillation import check_distillation, distill
from torchml.training.launchers import launched_ranks
from torchml.training.run import Run
from torchml.training.run import run as run_settings
from torchml.training.run_folder import CHECKPOINTS
from torchml.training.settings import Settings, from_words

MEMBERS = "--members"
CHECKPOINT = "--ckpt_path"
_ALONE = (MEMBERS, "1", "--distill", "false")


def fit_committee(arguments: Sequence[str]) -> list[Run]:
    """Train the members of a committee, one after the other, and a network that learns their mean.

    Member k (from 0) has the seeds `seed_everything + k` and `data.seed + k`: other initial
    weights, another order of the batches and, where neither `data.val` nor `data.split` says which
    configurations validate, another tenth of the data to validate. With `distill`, all have the
    same `data.seed`, so that what validates is new to all. With `--ckpt_path last` what began is
    resumed, and the rest trained.

    Args:
        arguments: the command, which is fit, then its words.

    Returns:
        The runs of the members, each in a folder of its own within that of the configuration, and
        with `distill` the run of the network that learned from them, in the folder itself.

    Raises:
        TorchMLError: one sentence, for the first key, value or file that is wrong.
    """
    if launched_ranks() is not None:
        raise TorchMLError(
            "--members trains on one rank, but a launcher started several, expected a training "
            f"for each member, with trainer.default_root_dir RUN/{MEMBER}K and its own seeds"
        )
    path, words = taken(arguments, CHECKPOINT)
    if path not in ("", "last"):
        raise TorchMLError(f"--ckpt_path is '{path}' beside --members, expected last")
    settings = from_words(words)
    count, student = settings.options.members, settings.options.distill
    if student:
        check_distillation(settings, resumed=path == "last")
    folders = [settings.folder / f"{MEMBER}{k + 1}" for k in range(count)]
    _remove_others(settings, folders)
    console = Console(soft_wrap=True, highlight=False)
    runs = []
    for k, folder in enumerate(folders):
        console.print(f"member {k + 1} of {len(folders)}: {folder}", markup=False)
        own = _own_words(settings, folder, k)
        runs.append(_run([*words, *_ALONE, *own], folder, path))
    if student:
        console.print(f"the network that learns their mean: {settings.folder}", markup=False)
        own = distill(settings, [run.best for run in runs])
        runs.append(_run([*words, *_ALONE, *own], settings.folder, path))
    console.print(
        f"export the members: python -m torchml_export {settings.folder} --committee", markup=False
    )
    return runs


def _run(words: Sequence[str], folder: Path, path: str) -> Run:
    """Train in a folder, or go on with what began there."""
    begun = path == "last" and (folder / CHECKPOINTS / "last.ckpt").is_file()
    return run_settings(from_words([*words, *([CHECKPOINT, "last"] if begun else [])]))


def _own_words(settings: Settings, folder: Path, k: int) -> list[str]:
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
