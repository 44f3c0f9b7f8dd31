"""Arguments of commands that open models of other packages."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from torchml.importers.adapters import adapters

if TYPE_CHECKING:
    from torchml.importers.opening import Foreign


def add_arguments(group: argparse._ActionsContainer) -> None:
    """Declare `--from`, `--head` and `--python`."""
    group.add_argument(
        "--from",
        dest="source",
        metavar="KIND",
        help=f"read a model of another package: {', '.join(adapters())}, or, for a model of your "
        "own, FILE.py:function; reading may run any code that came with the model, so use this "
        "only for models whose source you trust",
    )
    group.add_argument("--head", help="with --from: one of several heads, or modalities")
    group.add_argument(
        "--python",
        metavar="EXE",
        help="with --from: Python of an environment that has torch and the package (default: this)",
    )


def foreign_of(options: argparse.Namespace) -> Foreign | None:
    """What the arguments say; None where `--from` is not among them."""
    from torchml.errors import TorchMLError
    from torchml.importers.opening import Foreign

    if options.source is None:
        if options.head or options.python:
            raise TorchMLError(
                "--head and --python are for models of other packages, expected --from with them"
            )
        return None
    return Foreign(options.source, head=options.head, python=options.python)
