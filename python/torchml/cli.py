"""The command `torchml`: training, export (also `python -m torchml_export`) and validation.

Only the chosen command imports what it needs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from torchml.export import command as export_command
from torchml.training.threads import wait_without_spinning

_VALIDATE_HELP = "compare Python, C++, KIM and LAMMPS on the same structures"
_TRAINING_HELP = {
    "fit": "train a potential: torchml fit --config silicon.yaml",
    "test": "errors of a trained potential on test data",
    "predict": "energies and forces of structures, into a file",
    "submit": "torchml fit as a job of a cluster",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The console command `torchml`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # a class_path may name a module that lies where the command starts
    if _is_training(arguments):
        wait_without_spinning()
        home = "torchml.training.submit" if arguments[0] == "submit" else "torchml.training.cli"
        return int(import_module(home).main(arguments))
    parser = argparse.ArgumentParser(
        prog="torchml", description="Machine-learning potentials for KIM-API simulators."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, text in _TRAINING_HELP.items():
        commands.add_parser(name, help=text)
    exporting = commands.add_parser("export", help=export_command.HELP, **export_command.texts())
    export_command.add_arguments(exporting)
    exporting.set_defaults(run=export_command.run)
    validate = commands.add_parser("validate", help=_VALIDATE_HELP, description=_VALIDATE_HELP)
    if arguments[:1] == ["validate"]:
        command = import_module("torchml.validation.command")
        command.add_arguments(validate)
        validate.set_defaults(run=command.run)
    return _run(parser, arguments)


def _is_training(arguments: Sequence[str]) -> bool:
    """`validate` with a configuration tells errors on its data; with a model it compares doors."""
    if arguments[:1] == ["validate"]:
        words = ("-c", "--config", "--print_config")
        return any(word.partition("=")[0] in words for word in arguments[1:])
    return bool(arguments) and arguments[0] in _TRAINING_HELP


def export_main(arguments: Sequence[str] | None = None) -> int:
    """`python -m torchml_export`."""
    return export_command.main(arguments)


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> int:
    options = parser.parse_args(arguments)
    from torchml.errors import TorchMLError

    try:
        return int(options.run(options) or 0)
    except TorchMLError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
