"""`torchml fit --members N`: the same training several times, from other random numbers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from torchml.errors import TorchMLError
from torchml.importers.committees import MEMBER
from torchml.training.launchers import launched_ranks
from torchml.training.run import Run
from torchml.training.run import run as run_settings
from torchml.training.run_folder import CHECKPOINTS
from torchml.training.settings import Settings, from_words

MEMBERS = "--members"
_CHECKPOINT = "--ckpt_path"


def has_members(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for several members."""
    return any(word.partition("=")[0] == MEMBERS for word in arguments)


def fit_members(arguments: Sequence[str]) -> list[Run]:
    """Train the members of a committee, one after the other.

    Member k (from 0) has the seeds `seed_everything + k` and `data.seed + k`: other initial
    weights, another order of the batches and, where neither `data.val` nor `data.split` says which
    configurations validate, another tenth of the data to validate. With `--ckpt_path last` the
    members that began are resumed, and the others trained.

    Args:
        arguments: the command, which is fit, then its words with `--members N`.

    Returns:
        The runs, each in a folder of its own within that of the configuration.

    Raises:
        TorchMLError: one sentence, for the first key, value or file that is wrong.
    """
    text, words = taken(arguments, MEMBERS)
    if words[0] != "fit" or not text.isdigit() or int(text) < 2:
        raise TorchMLError(
            f"'{' '.join([words[0], MEMBERS, text])}' is given, expected fit and at least 2 members"
        )
    if launched_ranks() is not None:
        raise TorchMLError(
            "--members trains on one rank, but a launcher started several, expected a training "
            f"for each member, with trainer.default_root_dir RUN/{MEMBER}K and its own seeds"
        )
    path, words = taken(words, _CHECKPOINT)
    if path not in ("", "last"):
        raise TorchMLError(f"--ckpt_path is '{path}' beside --members, expected last")
    settings = from_words(words)
    folders = [settings.folder / f"{MEMBER}{k + 1}" for k in range(int(text))]
    _remove_others(settings, folders)
    console = Console(soft_wrap=True, highlight=False)
    runs = []
    for k, folder in enumerate(folders):
        begun = path == "last" and (folder / CHECKPOINTS / "last.ckpt").is_file()
        resumed = [_CHECKPOINT, "last"] if begun else []
        console.print(f"member {k + 1} of {len(folders)}: {folder}", markup=False)
        runs.append(run_settings(from_words([*words, *_own_words(settings, folder, k), *resumed])))
    console.print(
        f"export them: python -m torchml_export {settings.folder} --committee", markup=False
    )
    return runs


def _own_words(settings: Settings, folder: Path, k: int) -> list[str]:
    """What a member does not share with the others."""
    seed = settings.options.seed_everything
    if seed is None or isinstance(seed, bool):
        raise TorchMLError(
            f"seed_everything is {seed} beside --members, expected a number, so that the members "
            "start from different ones"
        )
    return [
        *("--trainer.default_root_dir", str(folder)),
        *("--seed_everything", str(int(seed) + k)),
        *("--data.seed", str(int(settings.options.data.seed) + k)),
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
