"""Several models become the members of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torchml.contract.metadata import ModelMetadata
from torchml.errors import TorchMLError
from torchml.importers.adding import network_of
from torchml.importers.opening import Loaded, kim_name
from torchml.models.committee import Committee

MEMBER = "member"
"""Folder of each run of `torchml fit --members`, with a number from 1 on."""

_CHECKPOINT = Path("checkpoints", "best.ckpt")


def committee_of(
    models: Sequence[Loaded], facts: ModelMetadata | None = None
) -> tuple[Loaded, ModelMetadata]:
    """Make a committee of several potentials.

    Args:
        models: the members, which take edge vectors.
        facts: what the caller declares of each.

    Returns:
        The committee, and what the caller declares of it: convention and float type.

    Raises:
        TorchMLError: the members differ in elements or cutoffs, or one does not take edge vectors.
    """
    facts = facts or ModelMetadata()
    networks = [network_of(one, facts) for one in models]
    Committee.require_alike(networks, [str(one.path) for one in models])
    first = models[0]
    committee = replace(
        first,
        name=kim_name(f"Committee_{first.name}"),
        model=Committee(networks).eval(),
        facts=ModelMetadata(),
    )
    return committee, ModelMetadata(convention=facts.convention, dtype=facts.dtype)


def files_of(models: Sequence[str | Path], foreign: bool = False) -> list[str | Path]:
    """Return the files of the members; the folder of a training stands for its checkpoints.

    Args:
        models: files or folders.
        foreign: they are models of another package, whose folders are its own.

    Raises:
        TorchMLError: there are less than two, or a folder has no members.
    """
    files: list[str | Path] = []
    for model in models:
        if Path(model).is_dir() and not foreign:
            files += _checkpoints_in(Path(model))
        else:
            files.append(model)
    if len(files) < 2:
        raise TorchMLError(
            f"a committee has at least two members, but {' '.join(map(str, files)) or 'none'} is "
            "given, expected several models or the folder of torchml fit --members"
        )
    return files


def _checkpoints_in(folder: Path) -> list[Path]:
    members = sorted(folder.glob(f"{MEMBER}*"), key=lambda one: (len(one.name), one.name))
    if not members:
        raise TorchMLError(
            f"{folder} has no folders {MEMBER}1, {MEMBER}2, .., expected the folder of torchml fit "
            "--members, or the files of the members"
        )
    if missing := [one for one in members if not (one / _CHECKPOINT).is_file()]:
        raise TorchMLError(
            f"{missing[0]} has no {_CHECKPOINT}, expected the training of all members to have ended"
        )
    return [one / _CHECKPOINT for one in members]
