"""CPU time of this process and of the programs that it ran."""

from __future__ import annotations

import os


def cpu_minutes() -> float:
    """Return the CPU time so far, user and system, of all threads and of programs that ended."""
    times = os.times()
    return (times.user + times.system + times.children_user + times.children_system) / 60
