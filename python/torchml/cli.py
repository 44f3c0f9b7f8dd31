"""The command `torchml`, and `python -m torchml_export`, which is `torchml export`.

Only the chosen command imports its modules: `--help` and `--version` answer at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import torchml
from torchml.termination import terminated_in_order
from torchml.training.threads import wait_briefly

_MODEL_COMMANDS = {
    "export": "torchml.export.command",
    "check": "torchml.validation.command",
    "validate": "torchml.validation.command",  # the older name of check
    "deviations": "torchml.evaluation.deviations_command",
    "evaluate": "torchml.evaluation.evaluate_command",
    "importers": "torchml.importers.command",
    "inspect": "torchml.inference.inspection",
    "label": "torchml.evaluation.label_command",
    "predict": "torchml.evaluation.predict_command",
    "relax": "torchml.relaxation.command",
}
_DATA_COMMANDS = {
    name: f"torchml.data.tools.{name.replace('-', '_')}"
    for name in ("inspect", "make", "split", "subsample", "convert", "lmdb-check")
}
_NAMES = ", ".join(
    [
        *("fit", "validate", "test", "predict", "submit", "uncertainty"),
        *("export", "evaluate", "check", "deviations", "importers", "inspect", "label", "relax"),
        *(f"data {name}" for name in _DATA_COMMANDS),
    ]
)
_HELP = """\
training:
  fit                train a potential: torchml fit --config silicon.yaml
  validate --config  report the errors on the validation data
  test               report the errors on the test data
  submit             run torchml fit as a job of a cluster
  uncertainty        add members, which show where a trained potential is uncertain

data:
  data inspect       print what is understood of data files: keys, units, distributions
  data make          make a data set of a classical potential
  data split         divide configurations into train, val and test
  data subsample     write some of the configurations
  data convert       write configurations in another format
  data lmdb-check    open every row of LMDB files and report faults

models:
  export             write a KIM portable model of a checkpoint, a TorchScript archive, or a model
                     of another package
  evaluate           report the errors of a model or of predictions on a data set
  check              examine a model: Python, C++, KIM-API, ASE and LAMMPS, and its physics
  deviations         merge the files in which the ranks of a simulation record how much the members
                     of a committee differ
  importers          list the packages whose models can be brought (export --from)
  inspect            print metadata and files of a model without loading it
  label              write structures and changed copies of them with the labels of a model, for
                     another network to learn
  predict            write energies, forces and stress of a data set; --config: of a training
  relax              relax many structures at once with a model

torchml COMMAND --help lists the options of a command. An error is one sentence, and the exit
status 1; TORCHML_DEBUG=1 prints the traceback.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console command `torchml` and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words else ""
    _silence_other_libraries()
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # a class_path may name a module in the working folder
    if _is_training(words):
        wait_briefly()
        home = "torchml.training.submit" if name == "submit" else "torchml.training.cli"
        return guarded(f"torchml {name}", lambda: import_module(home).main(words))
    if name in _MODEL_COMMANDS:
        return _run_command(f"torchml {name}", _MODEL_COMMANDS[name], words[1:])
    if name == "data" and len(words) > 1 and words[1] in _DATA_COMMANDS:
        return _run_command(f"torchml data {words[1]}", _DATA_COMMANDS[words[1]], words[2:])
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
    if name == "data":
        parser.error(f"data needs a command, expected one of {', '.join(_DATA_COMMANDS)}")
    parser.error(f"unknown command '{name}', expected one of {_NAMES}")


def _is_training(words: Sequence[str]) -> bool:
    """Whether a training command is meant.

    With --config, `validate` reports errors on validation data; with a model, it is `check`.
    `predict` takes a configuration or its checkpoint, or a model and data.
    """
    if words[:1] in (["validate"], ["predict"]):
        options = ("-c", "--config", "--print_config", "--ckpt_path")
        return any(word.partition("=")[0] in options for word in words[1:])
    return bool(words) and words[0] in ("fit", "test", "submit", "uncertainty")


def export_main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m torchml_export` and return its exit status."""
    _silence_other_libraries()
    words = sys.argv[1:] if arguments is None else arguments
    return _run_command("python -m torchml_export", _MODEL_COMMANDS["export"], words)


def _run_command(program: str, home: str, words: Sequence[str]) -> int:
    """Parse the words and run the command of the module `home`."""
    command = import_module(home)
    parser = argparse.ArgumentParser(prog=program, **command.texts())
    command.add_arguments(parser)
    options = parser.parse_args(words)
    with terminated_in_order():
        return guarded(program, lambda: command.run(options))


def guarded(program: str, run: Callable[[], int]) -> int:
    """Run a command; an exception becomes one sentence and the status 1."""
    from torchml.errors import TorchMLError

    try:
        status = int(run())
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has read enough; what is left must not be flushed at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
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


if __name__ == "__main__":
    sys.exit(main())
