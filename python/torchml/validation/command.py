"""`torchml check MODEL`: a model examined, in one table, as JSON and as a page."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from torchml.export.opened import opened
from torchml.importers import arguments
from torchml.reference.structures import read_structures
from torchml.validation.examination import Depth, examine
from torchml.validation.installing import installed_model
from torchml.validation.report import print_report
from torchml.validation.results import write_json


def texts() -> dict[str, str]:
    """Return the texts of the parser of the command."""
    return {
        "description": "Examine a model: the same structures in Python, C++, KIM-API, ASE and "
        "LAMMPS, derivatives, symmetries, curves of two and three atoms, crystals, and KIM's "
        "verification checks.",
        "epilog": "torchml validate --config FILE reports the errors on validation data instead.",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "model",
        help="checkpoint of a training, folder of a portable model, .pt or .pt2 archive, or name "
        "of an installed KIM model",
    )
    arguments.add_arguments(parser)
    parser.add_argument(
        "--structures",
        metavar="FILE",
        help="structures to evaluate, in any format that ASE reads (default: small structures "
        "that fit species and cutoff of the model)",
    )
    parser.add_argument(
        "--device", default="cpu", help="device of C++, KIM and LAMMPS: cpu (default), cuda, cuda:K"
    )
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument(
        "--quick",
        action="store_true",
        help="seconds: fewer structures, without LAMMPS, crystals and KIM's verification checks",
    )
    depth.add_argument(
        "--full",
        action="store_true",
        help="minutes to hours: all species, 50 ps at constant energy, memory of KIM models",
    )
    parser.add_argument("--no-lammps", action="store_true", help="leave LAMMPS out")
    parser.add_argument("--json", metavar="FILE", help="write all checks and figures")
    parser.add_argument("--html", metavar="FILE", help="write a page with the table and plots")


def run(args: argparse.Namespace) -> int:
    """Examine the model, print the table, and return 0 if nothing failed, else 1."""
    console = Console(emoji=False)
    foreign = arguments.foreign_of(args)
    depth = Depth.QUICK if args.quick else Depth.FULL if args.full else Depth.STANDARD
    with (
        _progress(console) as progress,
        opened(args.model, foreign=foreign, device=args.device) as source,
        installed_model(args.model if source.trained is None else source.archive) as name,
    ):
        found = examine(
            args.model if source.trained is None else source.archive,
            name,
            trained=source.trained,
            structures=read_structures(args.structures) if args.structures else None,
            device=args.device,
            lammps=not args.no_lammps,
            depth=depth,
            progress=progress,
        )
    print_report(console, f"{name} on {args.device} against the C++ core", found.checks)
    for title, figure in found.figures.items():
        console.print(f"{title}: {figure}", markup=False, highlight=False)
    for note in found.notes:
        console.print(note, style="yellow", markup=False, highlight=False)
    if args.json:
        write_json(found, args.json)
        console.print(f"The checks are in {args.json}", markup=False, highlight=False)
    if args.html:
        from torchml.validation.page import write_html

        write_html(found, args.html)
        console.print(f"The page is {args.html}", markup=False, highlight=False)
    if found.failures:
        console.print(f"{len(found.failures)} checks failed.", style="bold red")
    return 1 if found.failures else 0


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
