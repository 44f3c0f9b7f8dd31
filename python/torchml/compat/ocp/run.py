"""One command line of OCP, from its words to its files."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from torchml.compat.ocp import modes, processes
from torchml.compat.ocp.flags import Flags
from torchml.compat.ocp.folders import Folders, new_folders
from torchml.compat.ocp.relaxations import given_options
from torchml.compat.ocp.translation import Translation, translate


def run(flags: Flags) -> int:
    """Carry out one command line, and return the exit status."""
    if flags.debug and not flags.print_config:
        with tempfile.TemporaryDirectory() as folder:
            return _run(replace(flags, run_dir=folder))
    return _run(flags)


def translation_of(flags: Flags) -> Translation:
    """Return the translation of the configuration of a command line, with the folders of a run."""
    run_dir = Path(flags.run_dir)
    name = processes.shared_name(flags)
    folders = Folders(run_dir, name) if name else new_folders(run_dir, flags.identifier)
    return translate(flags.config_yml, flags=flags, folders=folders)


def _run(flags: Flags) -> int:
    translation = translation_of(flags)
    if flags.print_config or not processes.needs_launch(flags):
        modes.say(describe(flags, translation))
    if flags.print_config:
        return 0
    if processes.needs_launch(flags):
        return processes.launch(flags.words, flags, translation.folders.name)
    modes.MODES[flags.mode](flags, translation)
    return 0


def describe(flags: Flags, translation: Translation) -> str:
    """Return what torchml does instead, and what differs, as comments.

    The configuration of a training follows as YAML, for a training or where it is requested.
    """
    lines = [f"in TorchML: {_command(flags, translation)}", *translation.notes]
    comments = "".join(f"# {line}\n" for line in lines)
    if flags.mode in ("predict", "run-relaxations") and not flags.print_config:
        return comments
    text = yaml.safe_dump(translation.configuration, sort_keys=False, allow_unicode=True)
    return comments + str(text)


def _command(flags: Flags, translation: Translation) -> str:
    """The command of torchml that does the same."""
    version = translation.version.name
    if flags.mode == "predict":
        return (
            f"torchml predict CHECKPOINT {_words(translation.test)} -o predictions.npz "
            f"--leaderboard {version} --task {translation.kind}"
        )
    if flags.mode == "run-relaxations":
        options = given_options(translation).items()
        return (
            f"torchml relax CHECKPOINT {_words(translation.relax)} --output DIR --version-of-ocp "
            + " ".join([version, *(f"--{name} {value}" for name, value in options)])
        )
    command = {"train": "fit", "validate": "validate"}[flags.mode]
    checkpoint = " --ckpt_path CHECKPOINT" if flags.mode == "validate" or flags.checkpoint else ""
    return f"torchml {command} --config FILE{checkpoint}, where FILE contains what follows"


def _words(source: str | list[str] | None) -> str:
    return source or "DATA" if isinstance(source, str | None) else " ".join(source)
