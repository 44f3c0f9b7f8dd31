"""How threads wait for one another."""

from __future__ import annotations

import os


def wait_without_spinning() -> None:
    """Let OpenMP's threads sleep when they wait; of effect only before torch is imported.

    By default they spin, which costs nothing on idle cores. Where another process wants a core as
    well, every operation waits for the thread that has lost it, while the other one burns its own:
    training steps on two cores took more than twice as long as on one.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
