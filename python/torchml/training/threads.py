"""Waiting of OpenMP threads."""

from __future__ import annotations

import os


def wait_without_spinning() -> None:
    """Let OpenMP threads sleep while they wait; it must be called before torch is imported.

    By default they spin, which costs nothing on idle cores. If another process uses one of the
    cores, every operation waits for the thread that lost its core while the others spin: training
    steps on two cores took more than twice as long as on one.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
