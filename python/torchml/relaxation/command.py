"""The command `torchml relax`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchml.relaxation.options import OPTIMIZERS, STRAINS, VERSIONS, CellOptions, RelaxOptions

if TYPE_CHECKING:
    from torchml.relaxation.output import Record

_EXAMPLES = """\
examples:
  torchml relax best.ckpt slabs.extxyz --output relaxed
  torchml relax best.ckpt is2re/test_id.lmdb --output relaxed --fmax 0.05 --trajectories 1
  torchml relax model.pt2 crystals.extxyz --output relaxed --relax-cell --scalar-pressure 0.00624
  torchrun --nproc-per-node 4 -m torchml relax best.ckpt data/ --output relaxed --device cuda

The same command again continues where it was interrupted.
"""


def texts() -> dict[str, Any]:
    """Return the texts of the parser of the command."""
    return {
        "description": "Relax many structures at once with a model. Fixed atoms do not move. "
        "Converged structures leave the batch, and others take their place.",
        "epilog": _EXAMPLES,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command in groups."""
    parser.add_argument(
        "model",
        help="checkpoint of a training, folder of a portable model, .pt or .pt2 archive, or name "
        "of an installed KIM model",
    )
    parser.add_argument("data", nargs="+", help="files or folders of any format that is read")
    parser.add_argument("--format", help="format of the files (default: by their names)")
    parser.add_argument("--ids", nargs="+", metavar="ID", help="relax only these structures")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:K (default: cpu)")
    _add_relaxation(parser.add_argument_group("relaxation"))
    _add_cell(parser.add_argument_group("cell"))
    _add_batches(parser.add_argument_group("batches"))
    _add_output(parser.add_argument_group("output"))


def _add_relaxation(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--optimizer", choices=OPTIMIZERS, help="how structures move (default: lbfgs)"
    )
    group.add_argument(
        "--fmax",
        type=float,
        metavar="eV/Å",
        help="largest force on a free atom that ends a relaxation (default: 0.02)",
    )
    group.add_argument("--steps", type=int, metavar="N", help="most moves (default: 300)")
    group.add_argument(
        "--maxstep",
        type=float,
        metavar="Å",
        help="longest move of an atom, to which the move of a structure is scaled; "
        "fire: of all atoms together (default: 0.2)",
    )
    group.add_argument(
        "--memory", type=int, metavar="N", help="lbfgs: moves that it remembers (default: 100)"
    )
    group.add_argument(
        "--damping",
        type=float,
        metavar="X",
        help="lbfgs: factor of each move after it is scaled (default: 1.2)",
    )
    group.add_argument(
        "--alpha",
        type=float,
        metavar="eV/Å²",
        help="curvature that the first move assumes (default: lbfgs 80, bfgs-linesearch 10)",
    )
    group.add_argument(
        "--version-of-ocp",
        choices=VERSIONS,
        help="behave as this version of OCP; other options replace its values (default: 2024)",
    )


def _add_cell(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--relax-cell", action="store_true", help="relax the cell, too")
    group.add_argument(
        "--strains",
        nargs="+",
        choices=STRAINS,
        metavar="xx",
        help="components of the strain that may change (default: xx yy zz yz xz xy)",
    )
    group.add_argument(
        "--isotropic", action="store_true", help="change the volume of the cell, not its shape"
    )
    group.add_argument(
        "--scalar-pressure",
        type=float,
        metavar="eV/Å³",
        help="external pressure; 1 GPa is 0.00624 eV/Å³ (default: 0)",
    )


def _add_batches(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-atoms",
        type=int,
        default=10_000,
        metavar="N",
        help="most atoms of structures that are under way together (default: %(default)s)",
    )
    group.add_argument(
        "--max-structures", type=int, metavar="N", help="most structures under way together"
    )
    group.add_argument(
        "--max-edges",
        type=int,
        metavar="N",
        help="most neighbours of all atoms in one call of the model (default: as many as take "
        "about 10 ms on a CPU, 2,000,000 on a GPU; fewer when memory runs out)",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for results; those of an interrupted run are kept",
    )
    group.add_argument(
        "--trajectories",
        type=int,
        nargs="?",
        const=1,
        default=0,
        metavar="K",
        help="write trajectories/ID.traj of ASE with every K-th step (K = 1 if omitted), the "
        "first and the last",
    )
    group.add_argument(
        "--extxyz",
        choices=("one", "each", "both", "none"),
        default="one",
        help="write relaxed.extxyz, each structure in extxyz/ID.extxyz, both, or none "
        "(default: one)",
    )


def run(options: argparse.Namespace) -> int:
    """Relax, print the summary; returns 1 if structures failed."""
    from torchml.data.keys import Keys
    from torchml.data.ranks import device_of_rank, launched_rank
    from torchml.data.reading import read
    from torchml.relaxation.evaluators import new_evaluator
    from torchml.relaxation.loop import Limits
    from torchml.relaxation.output import Files
    from torchml.relaxation.session import Session
    from torchml.relaxation.structures import Structures

    relaxation = relax_options(options)
    files = Files(options.trajectories, options.extxyz)
    limits = Limits(options.max_atoms, options.max_structures, options.max_edges)
    # Labels are not used: those that are damaged do not matter.
    keys = Keys(energy=None, forces=None, stress=None)
    structures = Structures(read(options.data, keys, options.format))
    if options.ids:
        structures.select(options.ids)
    evaluator = new_evaluator(options.model, device_of_rank(options.device), limits.edges)
    session = Session(structures, evaluator, relaxation, limits, launched_rank())
    try:
        records = session.into_folder(options.output, files)
    except KeyboardInterrupt:
        print(
            f"torchml relax: interrupted: {options.output} has the results of the structures that "
            "ended; the same command continues",
            file=sys.stderr,
        )
        raise
    return _report(records, len(structures), relaxation, options.output)


def relax_options(options: argparse.Namespace) -> RelaxOptions:
    """Return the options that flags name; those that are not given keep their defaults."""
    known = {field.name for field in fields(RelaxOptions)} - {"cell"}
    given = {k: value for k, value in vars(options).items() if k in known and value is not None}
    cell: dict[str, Any] = {
        "components": options.strains,
        "isotropic": options.isotropic or None,
        "scalar_pressure": options.scalar_pressure,
    }
    cell = {name: value for name, value in cell.items() if value is not None}
    if options.relax_cell or cell:
        given["cell"] = CellOptions(**cell)
    return RelaxOptions.of_version(options.version_of_ocp or "2024", **given)


def _report(records: Sequence[Record], total: int, relaxation: RelaxOptions, folder: Path) -> int:
    """Print the summary if all structures have a result, and draw the picture."""
    from rich.console import Console

    from torchml.relaxation.summary import plot_relaxations, summary_table

    failed = [record for record in records if record["state"] == "failed"]
    if len(records) == total:
        plot_relaxations(records, relaxation.fmax, folder / "relaxation.png")
        Console().print(summary_table(f"{total:,} structures relaxed", records))
        print(f"wrote {folder}")
        for record in failed[:10]:
            print(f"failed: structure '{record['id']}': {record['reason']}", file=sys.stderr)
        if failed:
            print(
                f"{len(failed)} of {total} structures failed; the same command tries them again",
                file=sys.stderr,
            )
    return 1 if failed else 0
