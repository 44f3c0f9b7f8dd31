"""Sentences for users that are no errors, printed to stderr by the first rank."""

from __future__ import annotations

import logging
import os

_LOG = logging.getLogger("torchml.data")


def notify(sentence: str) -> None:
    """Print a sentence; without handlers of its own, logging writes warnings to stderr."""
    ranks = [os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")]
    if set(ranks) == {"0"}:
        _LOG.warning(sentence)
