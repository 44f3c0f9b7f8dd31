"""The section `data` of torchml: files, names of labels, batches."""

from __future__ import annotations

import os
from typing import Any

from torchml.compat.ocp.given import Given
from torchml.compat.ocp.losses import ENERGY, FORCES
from torchml.errors import TorchMLError

# Names of labels in files of OCP and of others, which are found without being named.
_USUAL = ("y", "force", ENERGY, FORCES)


def data(given: Given) -> dict[str, Any]:
    """Return the arguments of the data module.

    Raises:
        TorchMLError: there are no training data, or a label has no equivalent.
    """
    dataset, optim = given.config.dataset, given.config.optim
    made: dict[str, Any] = {"train": dataset.train.src}
    if given.flags.mode == "train" and dataset.train.src is None:
        raise TorchMLError("dataset.train.src is missing, expected a file or folder to train on")
    if dataset.val is not None and dataset.val.src is not None:
        made["val"] = dataset.val.src
    else:
        made["split"] = {"val": 0}
    made |= {
        "keys": _keys(given),
        "batch_size": optim.batch_size,
        "num_workers": _workers(given),
        "duplicates": "allow",
        "seed": given.flags.seed,
    }
    if optim.eval_batch_size not in (None, optim.batch_size):
        given.notes.append(
            "eval_batch_size: validations of a training have batches of batch_size, with the same "
            "results"
        )
    if optim.load_balancing:
        given.notes.append("load_balancing: ranks get equally many structures")
    return {key: value for key, value in made.items() if value not in (None, {})}


def _keys(given: Given) -> dict[str, str]:
    """Names of the labels in the files."""
    names = {ours: theirs for theirs, ours in given.config.dataset.train.key_mapping.items()}
    names.pop("stress", None)
    if unknown := sorted(set(names) - {ENERGY, FORCES}):
        raise TorchMLError(
            f"dataset.train.key_mapping names {' and '.join(unknown)}, expected energy and forces"
        )
    if given.kind == "is2re":
        return {ENERGY: names.get(ENERGY, "y_relaxed")}
    return {label: name for label, name in names.items() if name not in _USUAL}


def _workers(given: Given) -> int:
    """Processes that prepare batches: as many as there are cores besides those of the training."""
    asked = given.flags.num_workers
    if asked is None:
        asked = given.config.optim.num_workers or 0
    free = max(len(os.sched_getaffinity(0)) // given.flags.ranks - 1, 0)
    if asked > free:
        given.notes.append(f"num_workers {asked}: there are cores for {free}")
    return min(asked, free)
