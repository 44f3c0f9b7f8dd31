"""Labels of a potential for training another one: `torchml label DATA --model MODEL -o OUTPUT`."""

from __future__ import annotations

import argparse
from typing import Any

from torchml.data.copies import Copies
from torchml.data.sequences import Joined
from torchml.data.tools.arguments import (
    Destination,
    add_output,
    add_source,
    joined,
    read_source,
)
from torchml.errors import DataError
from torchml.evaluation.labelling import labelled


def texts() -> dict[str, Any]:
    """Return the texts of the parser of the command."""
    return {
        "description": "Write structures, and changed copies of them, with the energies, forces "
        "and stress of a potential, so that a faster network can learn them. Of several "
        "potentials, the labels are the mean.",
        "epilog": "Example: torchml label silicon.extxyz --model model.pt --copies 3 "
        "-o labelled.extxyz; torchml fit --data.train labelled.extxyz",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_source(parser)
    add_output(parser)
    parser.add_argument(
        "--model",
        nargs="+",
        required=True,
        metavar="MODEL",
        help="checkpoint of a training, folder of a portable model, .pt or .pt2 archive, or name "
        "of an installed KIM model",
    )
    parser.add_argument(
        "--copies",
        type=int,
        default=0,
        metavar="N",
        help="strained and rattled copies of each structure, of crystals one with a cut; default 0",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the copies (default 0)")
    parser.add_argument("--no-stress", action="store_true", help="label energies and forces alone")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:K")


def run(options: argparse.Namespace) -> int:
    """Label, write the file, and say what it holds."""
    for name in ("copies", "seed"):
        if getattr(options, name) < 0:
            raise DataError(f"--{name} is {getattr(options, name)}, expected 0 or more")
    destination = Destination.of(options.output, options.to, options.force)
    structures = joined(read_source(options)[0])
    if options.copies:
        structures = Joined([structures, Copies(structures, options.copies, options.seed)])
    found = labelled(structures, options.model, stress=not options.no_stress, device=options.device)
    destination.write(found)
    print(f"{destination.path}: {len(found)} configurations, {destination.format}")
    return 0
