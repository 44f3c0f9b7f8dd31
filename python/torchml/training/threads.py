"""Waiting of OpenMP threads."""

from __future__ import annotations

import os

# Turns of GNU's OpenMP before a thread sleeps, some ten microseconds. Training steps of ACE on two
# cores, idle and with another program on one of them, against no turns: 0.68 and 1.2 of the time
# (TensorNet with 1000 turns: 0.77 and 1.2). With 100,000 turns: 0.64 and 14.
_TURNS = "500"


def wait_briefly() -> None:
    """Let OpenMP threads sleep soon while they wait; it must be called before torch is imported.

    By default they spin for milliseconds, which costs nothing on idle cores. If another process
    uses one of the cores, every operation waits for the thread that lost its core while the others
    spin. To wake a thread costs more than most operations of a training take.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # OpenMP of LLVM and Intel
        os.environ.setdefault("GOMP_SPINCOUNT", _TURNS)
