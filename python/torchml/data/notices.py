"""Sentences for users that are no errors, printed to stderr by the first rank."""

from __future__ import annotations

import logging
import os

_LOG = logging.getLogger("torchml.data")
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")


def notify(sentence: str) -> None:
    """Print a sentence; without handlers of its own, logging writes warnings to stderr."""
    if is_first_rank():
        _LOG.warning(sentence)


def is_first_rank() -> bool:
    """Whether this process is the first one of a launcher, or the only one."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)
