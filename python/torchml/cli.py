"""The command `torchml`, and `python -m torchml_export`, which is `torchml export`.

Only the chosen command imports its modules: `--help` and `--version` answer at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torchml
from torchml.training.threads import wait_without_spinning

if TYPE_CHECKING:
    from torchml.export import Result

_MODEL_COMMANDS = {
    "check": (
        "Compare a model on the same structures in Python, C++, KIM-API, ASE and LAMMPS",
        "torchml.validation.command",
    ),
    "inspect": (
        "Print metadata, provenance and files of a model without loading it",
        "torchml.inference.inspection",
    ),
}
_MODEL_COMMANDS["validate"] = _MODEL_COMMANDS["check"]  # its older name

_NAMES = "fit, validate, test, predict, submit, export, check, inspect"
_HELP = """\
training:
  fit                train a potential: torchml fit --config silicon.yaml
  validate --config  report the errors on the validation data
  test               report the errors on the test data
  predict            write energies and forces of structures into a file
  submit             run torchml fit as a job of a cluster

models:
  export             write a KIM portable model of a checkpoint or a TorchScript archive
  check              compare a model in Python, C++, KIM-API, ASE and LAMMPS
  inspect            print metadata and files of a model without loading it

torchml COMMAND --help lists the options of a command. An error is one sentence, and the exit
status 1; TORCHML_DEBUG=1 prints the traceback.
"""

_EXPORT_DESCRIPTION = """\
Make a KIM portable model of a checkpoint or a TorchScript archive, so that LAMMPS, ASE and every
other simulator with KIM-API can run it. The model is checked first; if a check fails, nothing is
written.

A checkpoint of a training knows all about its model. What an archive says about itself (files
torchml/... inside it) need not be said again, and what its forward() tells by the names of its
inputs is understood:

  none    forward(species, coords, n_neigh, nlist, contributing)
  graph   forward(species, coords, edge_index0, ..., edge_index{n-1}, contributing)   n layers
  edges   forward(species, edge_vectors, edge_index, contributing[, node_counts, edge_counts])
  descriptor   forward(descriptor[, species]), rows for the contributing atoms

An input named z or atomic_numbers receives atomic numbers, one named species the 0-based
position in --species. forward() returns the energy (total, or one per atom; eV), or the tuple
(energy, forces). With 'edges' the second entry is dE/d(edge_vectors), with 'descriptor'
dE/d(descriptor).
"""

_EXPORT_EXAMPLES = """\
examples:
  what a training has learnt, as PaiNN_Si or whatever model and elements it is of:
    python -m torchml_export run/checkpoints/best.ckpt --install user
  the same many times faster, splines in place of networks of the distance:
    python -m torchml_export run/checkpoints/best.ckpt --compress --install user
  a model scripted with torchml.models, or any archive that carries its metadata:
    python -m torchml_export schnet.pt --name SchNet_Si --install user
  any other staged-graph model:
    python -m torchml_export model.pt --name MyModel_SiO --species Si O --cutoff 4.0 --layers 3
  the same, its edges only (source, target) as our own models want them, in another folder:
    python -m torchml_export model.pt --name MyModel_SiO --species Si O --cutoff 4.0 \\
        --edges directed --output exported --overwrite
  a network that takes a descriptor, which tells the species and the cutoff:
    python -m torchml_export mlp.pt --name MLP_Si --descriptor params.yaml

then, in LAMMPS:
    kim init MyModel_SiO__MO_000000000000_000 metal
    kim interactions Si O
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console command `torchml` and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words else ""
    _silence_other_libraries()
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # a class_path may name a module in the working folder
    if _is_training(words):
        wait_without_spinning()
        home = "torchml.training.submit" if name == "submit" else "torchml.training.cli"
        return _guarded(f"torchml {name}", lambda: import_module(home).main(words))
    if name == "export":
        parser = argparse.ArgumentParser(prog="torchml export", **_export_texts())
        _add_export_arguments(parser)
        return _run(parser, words[1:])
    if name in _MODEL_COMMANDS:
        summary, home = _MODEL_COMMANDS[name]
        parser = argparse.ArgumentParser(prog=f"torchml {name}", description=f"{summary}.")
        command = import_module(home)
        command.add_arguments(parser)
        parser.set_defaults(run=command.run)
        return _run(parser, words[1:])
    return _no_command(words)


def _no_command(words: Sequence[str]) -> int:
    """Print help or version; anything else is an error."""
    parser = argparse.ArgumentParser(
        prog="torchml",
        usage="torchml [-h] [--version] command ...",
        description="Machine-learning potentials for KIM-API simulators.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"torchml {torchml.__version__}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    if (name := parser.parse_known_args(words)[0].command) is None:
        parser.error(f"no command, expected one of {_NAMES}")
    parser.error(f"unknown command '{name}', expected one of {_NAMES}")


def _is_training(words: Sequence[str]) -> bool:
    """Whether a training command is meant.

    With --config, `validate` reports errors on validation data; with a model, it is `check`.
    """
    if words[:1] == ["validate"]:
        options = ("-c", "--config", "--print_config")
        return any(word.partition("=")[0] in options for word in words[1:])
    return bool(words) and words[0] in ("fit", "test", "predict", "submit")


def export_main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m torchml_export` and return its exit status."""
    _silence_other_libraries()
    parser = argparse.ArgumentParser(prog="python -m torchml_export", **_export_texts())
    _add_export_arguments(parser)
    return _run(parser, sys.argv[1:] if arguments is None else arguments)


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> int:
    options = parser.parse_args(arguments)
    return _guarded(parser.prog, lambda: options.run(options) or 0)


def _guarded(program: str, run: Callable[[], int]) -> int:
    """Run a command; an exception becomes one sentence and the status 1."""
    from torchml.errors import TorchMLError

    try:
        return int(run())
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("TORCHML_DEBUG") == "1":
            raise
        sentence = str(error) if isinstance(error, TorchMLError) else _sentence(error)
        print(f"{program}: error: {sentence}", file=sys.stderr)
        return 1


def _sentence(error: Exception) -> str:
    """Describe an exception of another library; the traceback of an unexpected one is saved."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    if isinstance(error, (OSError, MemoryError)) or "OutOfMemory" in type(error).__name__:
        return reason
    with tempfile.NamedTemporaryFile(
        "w", prefix="torchml-", suffix=".log", delete=False
    ) as traceback_file:
        traceback.print_exception(error, file=traceback_file)
    return f"{reason} (unexpected: {traceback_file.name} has the traceback)"


def _silence_other_libraries() -> None:
    """Drop torch's notice about CUDA's compiler on a machine without GPU."""
    notice = "No CUDA runtime is found"
    logging.getLogger("torch.utils.cpp_extension").addFilter(
        lambda record: not str(record.msg).startswith(notice)
    )


def _export_texts() -> dict[str, Any]:
    return {
        "description": _EXPORT_DESCRIPTION,
        "epilog": _EXPORT_EXAMPLES,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _add_export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_export)
    parser.add_argument(
        "model", type=Path, help="checkpoint of a training, or TorchScript archive (torch.jit.save)"
    )
    parser.add_argument(
        "--name",
        help="KIM name: a short one such as SW_Si, or a full one with its ID (default: class and "
        "elements of a checkpoint, name of an archive)",
    )

    facts = parser.add_argument_group("facts about the model (only what the archive does not tell)")
    facts.add_argument(
        "--species", nargs="+", metavar="Si", help="chemical symbols; code k means the k-th"
    )
    facts.add_argument("--cutoff", type=float, metavar="Å", help="radius of one neighbour list")
    facts.add_argument(
        "--layers",
        type=int,
        metavar="N",
        help="message-passing layers (influence distance: layers x cutoff)",
    )
    facts.add_argument(
        "--convention",
        choices=("raw", "none", "graph", "edges", "descriptor"),
        help="how forward() is called; for a checkpoint, how it shall be (default: edges, or "
        "descriptor for networks on one)",
    )
    facts.add_argument(
        "--descriptor",
        type=Path,
        metavar="FILE",
        help="descriptor: its parameters, YAML or descriptor.dat",
    )
    facts.add_argument(
        "--species-input",
        choices=("code", "atomic_number"),
        help="what the first input of forward() holds, after a descriptor the second",
    )
    facts.add_argument(
        "--edges",
        choices=("symmetric", "directed"),
        help="graph: both (i,j) and (j,i), as KLIFF and the original driver (default), or edges "
        "into the atoms a stage needs only, row 0 source, row 1 target",
    )
    facts.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        help="of the network in a checkpoint: float64 (default) has exact forces, float32 is about "
        "twice as fast; and of archives without parameters",
    )
    facts.add_argument(
        "--compress",
        action="store_true",
        help="put splines in place of what depends on the distance alone in a checkpoint: many "
        "times faster; their error is measured",
    )
    facts.add_argument(
        "--tolerance",
        nargs=2,
        type=float,
        metavar=("ENERGY", "FORCE"),
        help="largest errors of a compressed model (default: 1e-6 eV/atom, 1e-5 eV/Å)",
    )
    facts.add_argument(
        "--extensions",
        nargs="+",
        metavar="LIBRARY",
        help="operator libraries the model needs: paths, or Python packages such as torch_scatter",
    )

    result = parser.add_argument_group("result")
    result.add_argument(
        "--format",
        choices=("torchscript", "aoti"),
        default="torchscript",
        help="of the archive: TorchScript (default, runs anywhere), or energy and forces compiled "
        "ahead of time (AOTInductor, needs g++ here)",
    )
    result.add_argument(
        "--instruction-set",
        choices=("avx2", "avx512", "native"),
        help="aoti: what the processor that runs it has: avx2 (default on x86-64: any since 2013), "
        "avx512, or native, the best of this machine (default elsewhere)",
    )
    result.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="aoti: what it is compiled for (default: cpu)",
    )
    result.add_argument(
        "--output",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where the model folder is made (default: here)",
    )
    result.add_argument(
        "--install",
        choices=("user", "environment", "system"),
        help="also install the model into this KIM collection",
    )
    result.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the folder, and the installed model, of this name",
    )
    result.add_argument(
        "--driver", metavar="ID", help="KIM ID of the model driver (default: that of TorchML)"
    )
    result.add_argument("--title", help="title in kimspec.edn")
    result.add_argument("--description", help="description in kimspec.edn")
    result.add_argument("--author", help="author in kimspec.edn")


def _export(options: argparse.Namespace) -> int:
    from torchml import kim
    from torchml.contract.metadata import ModelMetadata
    from torchml.errors import TorchMLError
    from torchml.export import Export, export
    from torchml.export.accuracy import Tolerance

    if options.tolerance and not options.compress:
        raise TorchMLError("--tolerance is that of a compressed model, expected --compress with it")
    facts = ModelMetadata(
        convention=options.convention,
        species=tuple(" ".join(options.species).split()) if options.species else None,
        cutoff=options.cutoff,
        layers=options.layers,
        dtype=options.dtype,
        species_input=options.species_input,
        stage_edges=options.edges,
        extensions=_absolute(options.extensions) if options.extensions else None,
    )
    result = export(
        Export(
            model=options.model,
            name=options.name,
            facts=facts,
            descriptor=options.descriptor,
            output=options.output,
            driver=options.driver or kim.DRIVER,
            collection=options.install,
            overwrite=options.overwrite,
            compress=Tolerance(*(options.tolerance or ())) if options.compress else None,
            title=options.title,
            description=options.description,
            author=options.author,
            format=options.format,
            instruction_set=options.instruction_set,
            device=options.device,
            progress=lambda step: print(f"{step} ...", flush=True),
        )
    )
    _print_report(options.model, result)
    if result.folder is None:
        failure = next(check for check in result.checks if check.verdict == "fail")
        print(
            f"nothing was written: the check '{failure.name}' failed: {failure.detail}",
            file=sys.stderr,
        )
        return 1
    print(f"wrote {result.folder}")
    if options.install:
        print(f"installed into the KIM collection '{options.install}'")
    else:
        print(f"install it with: kim-api-collections-management install user {result.folder}")
    return 0


def _absolute(extensions: Sequence[str]) -> tuple[str, ...]:
    """Paths of libraries must hold in the simulator's folder too; names stay names."""
    return tuple(str(Path(one).resolve()) if Path(one).exists() else one for one in extensions)


def _print_report(model: Path, result: Result) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colors = {"pass": "green", "warn": "yellow", "fail": "red"}
    table = Table(title=Text(f"checks of {model}"), title_justify="left")
    table.add_column("check", no_wrap=True)
    table.add_column("verdict")
    table.add_column("figures", overflow="fold")
    for check in result.checks:
        verdict = Text(check.verdict, style=colors[check.verdict])
        table.add_row(check.name, verdict, Text(check.detail))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
