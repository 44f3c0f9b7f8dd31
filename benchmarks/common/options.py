"""The options that every benchmark has."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.programs import default_build_folder
from common.reports import OUTPUT


def parse_with_common_options(
    parser: argparse.ArgumentParser, *, rounds: int, result: str
) -> argparse.Namespace:
    """Add --rounds, --output (the folder of the file `result`) and --build, and parse."""
    parser.add_argument(
        "--rounds", type=int, default=rounds, help="repetitions (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help=f"folder for {result} (default: %(default)s)"
    )
    parser.add_argument(
        "--build",
        type=Path,
        default=default_build_folder(),
        help="folder to compile in, outside the repository (default: %(default)s)",
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options
