"""A part of a data set: `torchml data subsample FILE... -o OUTPUT --count N`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.progress import track
from torchml.data.sequences import Selection
from torchml.data.tools import selection
from torchml.data.tools.arguments import Destination, add_output, add_source, joined, read_source
from torchml.errors import DataError


def texts() -> dict[str, Any]:
    return {
        "description": "Write some of the configurations, in the order of the files.",
        "epilog": "Examples: torchml data subsample set -o small.lmdb --count 1000; "
        "... --every 10; ... --count 5 --by group; ... --count 200 --farthest",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    add_output(parser)
    parser.add_argument("--count", type=int, metavar="N", help="how many, drawn at random")
    parser.add_argument("--every", type=int, metavar="K", help="each K-th, and the first")
    parser.add_argument(
        "--by", choices=selection.GROUPS, help="--count of each group, system or composition"
    )
    parser.add_argument(
        "--farthest",
        action="store_true",
        help="the --count that differ most in composition and energy per atom",
    )
    parser.add_argument("--seed", type=int, default=0, help="of random choices, default 0")


def run(options: argparse.Namespace) -> int:
    destination = Destination.of(options.output, options.to, options.force)
    _check(options)
    configurations = joined(read_source(options)[0])
    chosen = Selection(configurations, indices(configurations, options).tolist())
    destination.write(track(chosen, "writing", len(chosen)))
    print(f"{destination.path}: {len(chosen)} of {len(configurations)} configurations")
    return 0


def indices(
    configurations: Sequence[Configuration], options: argparse.Namespace
) -> NDArray[np.int64]:
    """Return the indices that the options choose, in ascending order."""
    count, seed = len(configurations), options.seed
    if options.every is not None:
        return np.arange(0, count, options.every)
    if options.by is not None:
        names = selection.group_names(configurations, options.by)
        return selection.of_each_group(names, options.count, seed)
    if options.farthest:
        return selection.farthest(selection.describe(configurations), options.count, seed)
    return selection.at_random(count, options.count, seed)


def _check(options: argparse.Namespace) -> None:
    """Raise DataError if the options name no choice, or two."""
    if (options.count is None) == (options.every is None):
        raise DataError("expected either --count or --every")
    if options.every is not None and (options.by or options.farthest):
        raise DataError("--every takes each K-th, expected --count with --by or --farthest")
    if options.by and options.farthest:
        raise DataError("there are --by and --farthest, expected one of them")
    for name in ("count", "every"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise DataError(f"--{name} is {value}, expected 1 or more")
