"""`python -m torchml_export` and `torchml export`: flags in, a table of checks out.

Nothing heavy is imported before the command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchml.importers import arguments

if TYPE_CHECKING:
    from torchml.reference.agreement import Check


_DESCRIPTION = """\
Make a KIM portable model of a checkpoint or a TorchScript archive, so that LAMMPS, ASE and every
other simulator with KIM-API can run it. The model is checked first; if a check fails, nothing is
written.

A checkpoint of a training holds all facts about its model. Facts that an archive carries (files
torchml/... inside it) need no flag, and the names of the inputs of its forward() show how it is
called:

  raw     forward(species, coords, n_neigh, nlist, contributing)
  graph   forward(species, coords, edge_index0, ..., edge_index{n-1}, contributing)   n layers
  edges   forward(species, edge_vectors, edge_index, contributing[, node_counts, edge_counts])
  descriptor   forward(descriptor[, species]), rows for the contributing atoms

An input named z or atomic_numbers receives atomic numbers, one named species the 0-based
position in --species. forward() returns the energy (total, or one per atom; eV), or the tuple
(energy, forces). With 'edges' the second entry is dE/d(edge_vectors), with 'descriptor'
dE/d(descriptor).

Reading a checkpoint or an archive runs no code that came with it. A model of another package may
run any code: it is read only with --from, by its own package, in a process of its own.
`torchml importers` lists the packages.
"""

_EXAMPLES = """\
examples:
  a trained potential, named after its class and elements, such as PaiNN_Si:
    python -m torchml_export run/checkpoints/best.ckpt --install user
  the same many times faster, splines in place of networks of the distance:
    python -m torchml_export run/checkpoints/best.ckpt --compress --install user
  a model of MACE from a source that you trust:
    python -m torchml_export mace.model --from mace --install user
  one that its package ships, read in an environment that has this package:
    python -m torchml_export 7net-0 --from sevennet --python sevenn-env/bin/python --species Si O
  a committee, whose members show where they can be trusted (docs/uncertainty.md):
    python -m torchml_export a.ckpt b.ckpt c.ckpt --committee --name Committee_Si
  a model of your own and a function of five lines (docs/importers.md):
    python -m torchml_export model.pt --from my_adapter.py:energies
  the same with a repulsion at short distances and the dispersion correction of PBE:
    python -m torchml_export mace.model --from mace --add zbl --add d3:PBE --install user
  a model scripted with torchml.models, or any archive that carries its metadata:
    python -m torchml_export schnet.pt --name SchNet_Si --install user
  any other staged-graph model:
    python -m torchml_export model.pt --name MyModel_SiO --species Si O --cutoff 4.0 --layers 3
  the same with edges (source, target) in one direction only, in another folder:
    python -m torchml_export model.pt --name MyModel_SiO --species Si O --cutoff 4.0 \\
        --stage-edges directed --output exported --overwrite
  a network on a descriptor, whose parameters give the species and the cutoff:
    python -m torchml_export mlp.pt --name MLP_Si --descriptor params.yaml

then, in LAMMPS:
    kim init MyModel_SiO__MO_000000000000_000 metal
    kim interactions Si O
"""

_COLORS = {"pass": "green", "warn": "yellow", "fail": "red"}


def texts() -> dict[str, Any]:
    """Description, examples and their format, for the parser of the command."""
    return {
        "description": _DESCRIPTION,
        "epilog": _EXAMPLES,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command in four groups.

    Each is a keyword of `torchml.export_model` of the same name.
    """
    _add_model(parser.add_argument_group("model"))
    _add_facts(parser.add_argument_group("facts that an archive lacks"))
    _add_conversion(parser.add_argument_group("conversion"))
    _add_destination(parser.add_argument_group("destination"))


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "model",
        nargs="+",
        help="checkpoint of a training, TorchScript archive (torch.jit.save), or model of another "
        "package: a file, or a name that the package knows; with --committee, several",
    )
    group.add_argument(
        "--committee",
        action="store_true",
        help="make one model of several members, or of the folder of torchml fit --members: mean "
        "energy and forces, and how much the members differ (docs/uncertainty.md)",
    )
    arguments.add_arguments(group)


def _add_facts(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--species",
        nargs="+",
        metavar="Si",
        help="chemical symbols; code k means the k-th; with --from, the elements to keep",
    )
    group.add_argument("--cutoff", type=float, metavar="Å", help="radius of one neighbour list")
    group.add_argument(
        "--layers",
        type=int,
        metavar="N",
        help="message-passing layers (influence distance: layers x cutoff)",
    )
    group.add_argument(
        "--convention",
        choices=("raw", "none", "graph", "edges", "descriptor"),
        help="how forward() is called; for a checkpoint, how the exported model is called "
        "(default: edges, or descriptor for networks on one)",
    )
    group.add_argument(
        "--descriptor",
        type=Path,
        metavar="FILE",
        help="parameters of the descriptor, YAML or descriptor.dat",
    )
    group.add_argument(
        "--species-input",
        choices=("code", "atomic_number"),
        help="what the first input of forward() holds, after a descriptor the second",
    )
    group.add_argument(
        "--stage-edges",
        "--edges",
        choices=("symmetric", "directed"),
        help="graph: both (i,j) and (j,i), as in KLIFF and the original driver (default), or only "
        "edges into the atoms that a stage needs, row 0 source, row 1 target",
    )
    group.add_argument(
        "--extensions",
        nargs="+",
        metavar="LIBRARY",
        help="operator libraries that the model needs: paths, or Python packages such as "
        "torch_scatter",
    )


def _add_conversion(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--add",
        action="append",
        metavar="TERM",
        help="add a term to the energy; may be given several times: zbl[:inner,outer], the "
        "repulsion of nuclei (Å; default: 0.35 and 0.7 times the covalent radii of a pair); "
        "d3:functional[,cutoff], the dispersion correction D3(BJ), such as d3:PBE,12 (Å; default: "
        "15; needs tad-dftd3 here); or the file of a second model (docs/sums.md)",
    )
    group.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        help="float type of the network of a checkpoint: float64 (default) has exact forces, "
        "float32 is about twice as fast; of an archive without parameters, its own; of a model "
        "whose package's code is traced, that in which it runs (default: its own)",
    )
    group.add_argument(
        "--compress",
        action="store_true",
        help="replace what depends on the distance alone in a checkpoint by splines: many times "
        "faster; their error is measured",
    )
    group.add_argument(
        "--tolerance",
        nargs=2,
        type=float,
        metavar=("ENERGY", "FORCE"),
        help="largest errors of a compressed model (default: 1e-6 eV/atom, 1e-5 eV/Å)",
    )
    group.add_argument(
        "--format",
        choices=("torchscript", "aoti", "both"),
        help="torchscript, which runs anywhere and is exported in seconds; aoti: energy and "
        "forces compiled ahead of time (AOTInductor, needs g++ here), without TorchScript; or "
        "both: TorchScript runs where the compiled archive does not fit (default: both for a "
        "network where g++ is at hand; torchscript for archives, committees and sums)",
    )
    group.add_argument(
        "--instruction-set",
        choices=("avx2", "avx512", "native"),
        help="compiled models: what the processor that runs the model has: avx2 (default on "
        "x86-64: any since 2013), avx512, or native, the best of this machine (default elsewhere)",
    )
    group.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="compiled models: the device that the model is compiled for (default: cpu)",
    )


def _add_destination(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--name",
        help="KIM name: a short one such as SW_Si, or a full one with its ID (default: class and "
        "elements of a checkpoint, name of an archive)",
    )
    group.add_argument(
        "--output",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder in which the model folder is made (default: the current one)",
    )
    group.add_argument(
        "--install",
        choices=("user", "environment", "system"),
        help="also install the model into this KIM collection",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the folder, and the installed model, of this name",
    )
    group.add_argument(
        "--driver", metavar="ID", help="KIM ID of the model driver (default: that of TorchML)"
    )
    group.add_argument("--title", help="title in kimspec.edn")
    group.add_argument("--description", help="description in kimspec.edn")
    group.add_argument("--author", help="author in kimspec.edn and in the metadata")
    group.add_argument(
        "--references",
        nargs="+",
        metavar="TEXT",
        help="publications about the model, for its metadata",
    )
    group.add_argument(
        "--training-data", metavar="TEXT", help="what the model was trained on, for its metadata"
    )


def run(options: argparse.Namespace) -> int:
    """Export, print the table of checks and the next step; returns the exit status."""
    from torchml.export.checks.check import CheckFailed
    from torchml.export.pipeline import export_model

    known = signature(export_model).parameters
    keywords = {key: value for key, value in vars(options).items() if key in known}
    try:
        result = export_model(**keywords, progress=lambda step: print(f"{step} ...", flush=True))
    except CheckFailed as failure:
        _print_report(" ".join(options.model), failure.checks)
        print(failure, file=sys.stderr)
        return 1
    _print_report(" ".join(options.model), result.checks)
    print(f"wrote {result.folder}")
    if options.install:
        print(f"installed into the KIM collection '{options.install}'")
    else:
        print(
            "install it with (--force replaces a model of this name): "
            f"kim-api-collections-management install --force user {result.folder}"
        )
    return 0


def _print_report(model: str, checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"checks of {model}"), title_justify="left")
    table.add_column("check", no_wrap=True)
    table.add_column("verdict")
    table.add_column("figures", overflow="fold")
    for check in checks:
        verdict = Text(check.verdict, style=_COLORS[check.verdict])
        table.add_row(check.name, verdict, Text(check.detail))
    Console().print(table)
