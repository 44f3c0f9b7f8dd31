"""`python -m torchml.compat.ocp`."""

from __future__ import annotations

import sys

from torchml.training.threads import wait_without_spinning


def main() -> int:
    """Carry out the command line; an error is one sentence, and the exit status 1."""
    wait_without_spinning()
    from torchml.compat.ocp.flags import PROGRAM
    from torchml.compat.ocp.run import main as run
    from torchml.errors import TorchMLError

    try:
        return run(sys.argv[1:])
    except TorchMLError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
