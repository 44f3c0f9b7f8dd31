"""`python -m torchml.kim install-driver`: the KIM model driver of this package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from torchml.errors import TorchMLError
from torchml.kim.driver import COLLECTIONS, install_driver


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `python -m torchml.kim`.

    Args:
        arguments: The command line; that of this process by default.

    Returns:
        The exit status: 0, or 1 after an error, whose sentence goes to standard error.
    """
    options = _parser().parse_args(arguments)
    try:
        folder = install_driver(
            options.collection,
            force=options.force,
            jobs=options.jobs,
            progress=lambda line: print(line, flush=True),
        )
    except TorchMLError as error:
        print(f"python -m torchml.kim: error: {error}", file=sys.stderr)
        return 1
    print(f"installed {folder}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m torchml.kim", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "install-driver",
        help="build the KIM model driver and install it into a KIM collection",
        description="Build the KIM model driver from this package and install it into a KIM "
        "collection. This needs CMake, make, a C++ compiler and KIM-API 2.2 or newer.",
    )
    command.add_argument("--collection", choices=COLLECTIONS, default="user")
    command.add_argument("--force", action="store_true", help="replace an installed driver")
    command.add_argument("--jobs", type=int, metavar="N", help="files to compile at a time")
    return parser


if __name__ == "__main__":
    sys.exit(main())
