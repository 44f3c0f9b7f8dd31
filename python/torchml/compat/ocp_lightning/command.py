"""`python -m torchml.compat.ocp_lightning`: the command line of the Lightning edition."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from torchml.cli import guarded
from torchml.errors import TorchMLError

PROGRAM = "python -m torchml.compat.ocp_lightning"

HELP = f"""\
usage: {PROGRAM} [s2ef|is2re] fit|validate|test|predict|tune
           --config FILE [--config FILE]... [--KEY VALUE]... [--print_config]

Train potentials with configurations of the Lightning edition of OCP. The configuration of
`torchml fit` that means the same is printed first.

  s2ef      learn energies (eV) and forces (eV/Å) of structures
  is2re     learn the energy (eV) of the relaxed structure
            (may be left out if model.class_path names the task)

  fit       train
  validate  report the errors on data.val_path, of the best checkpoint or of --ckpt_path
  test      the same on data.test_path
  predict   write predictions for data.test_path into <run>/predictions.extxyz
  tune      find the largest batch size and a learning rate; both are printed and written
            into <run>/tuned.yml, which is a further --config

  --config FILE     a YAML file; values of later files replace those of earlier ones
  --KEY VALUE       replace one value: --trainer.max_epochs 5, --data.init_args.batch_size 16
  --ckpt_path FILE  the checkpoint to resume, validate, test or predict with; best, last
  --overwrite       replace the training that trainer.default_root_dir (default: run) contains
  --print_config    print the configuration of `torchml fit`, and stop
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line and return the exit status; an error is one sentence."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or "-h" in words or "--help" in words:
        print(HELP, end="")
        return 0 if words else 2
    return guarded(PROGRAM, lambda: run(words))


def run(words: Sequence[str]) -> int:
    """Carry out a command line.

    Args:
        words: the task, the command, then its options.

    Raises:
        TorchMLError: one sentence, for the first word, key, value or file that is wrong.
    """
    from torchml.training.threads import wait_briefly

    wait_briefly()
    from torchml.compat.ocp_lightning import documents, translation

    task, command, options = _split(words)
    files = [value for key, value in options if key == "config"]
    if not files:
        raise TorchMLError("there is no configuration, expected --config FILE")
    content = documents.merged(documents.read(path) for path in files)
    for key, value in options:
        if key not in ("config", "print_config"):
            documents.put(content, key, value)
    config = translation.parse(content)
    configuration = translation.translated(task, config, command)
    _print(configuration)
    if any(key == "print_config" for key, _ in options):
        return 0
    if command == "tune":
        from torchml.compat.ocp_lightning.tuning import tune

        tune(configuration, translation.tuning(config), translation.tuned_keys(config))
        return 0
    from torchml.training.run import run as run_settings
    from torchml.training.settings import from_mapping

    run_settings(from_mapping(command, configuration, {}))
    return 0


def _split(words: Sequence[str]) -> tuple[str | None, Any, list[tuple[str, str]]]:
    """Return task, command and options."""
    from torchml.compat.ocp_lightning.translation import COMMANDS

    rest = list(words)
    task = rest.pop(0) if rest[0] in ("s2ef", "is2re") else None
    command = rest.pop(0) if rest else None
    if command not in COMMANDS:
        expected = f"expected one of {', '.join(COMMANDS)}"
        if task is None and command is not None:
            expected = f"expected s2ef or is2re, or {expected.removeprefix('expected ')}"
        raise TorchMLError(f"the command is {command!r}, {expected}")
    return task, command, list(_options(rest))


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of --KEY VALUE and --KEY=VALUE."""
    while words:
        word = words.pop(0)
        if word == "-c":
            word = "--config"
        if not word.startswith("--"):
            raise TorchMLError(f"'{word}' is no option, expected --config FILE or --KEY VALUE")
        key, equal, value = word[2:].partition("=")
        if not equal and key == "overwrite" and (not words or words[0].startswith("--")):
            value = "true"
        elif not equal and key != "print_config":
            if not words:
                raise TorchMLError(f"--{key} has no value, expected --{key} VALUE")
            value = words.pop(0)
        yield key, value


def _print(configuration: dict[str, Any]) -> None:
    """Print the configuration of `torchml fit`, on the first rank."""
    from torchml.data.notices import is_first_rank

    if is_first_rank():
        import yaml  # type: ignore[import-untyped]

        print("# torchml fit --config FILE, with this content:")
        print(yaml.safe_dump(configuration, sort_keys=False, explicit_end=True), end="", flush=True)
