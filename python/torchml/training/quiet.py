"""Warnings of Lightning that do not concern users of this package."""

from __future__ import annotations

import logging
import warnings

# Advice of Lightning that does not fit here: data are graphs in memory, and small runs are normal.
_UNWANTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*The number of training batches.*",
    ".*Be aware that when using `ckpt_path`, callbacks.*",
    "The dirpath has changed from.*",  # a run that was moved, or goes on in another folder
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*You defined a `validation_step` but have no `val_dataloader`.*",
    ".*Total length of `.*` across ranks is zero.*",
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    ".*The `srun` command is available on your system but is not used.*",
    ".*sync_dist=True.*",  # torchmetrics has added up all ranks before
    "(?s).*Grad strides do not match bucket view strides.*",
)


def quiet() -> None:
    """Silence what Lightning prints about absent hardware, and advice that does not fit."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _UNWANTED_WARNINGS:
        warnings.filterwarnings("ignore", message)
