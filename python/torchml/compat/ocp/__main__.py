"""`python -m torchml.compat.ocp`."""

from __future__ import annotations

import sys

from torchml.cli import guarded
from torchml.training.threads import wait_briefly


def main() -> int:
    """Carry out the command line; an error is one sentence, and the exit status 1."""
    wait_briefly()
    from torchml.compat.ocp.command import main as run
    from torchml.compat.ocp.flags import PROGRAM

    return guarded(PROGRAM, lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
