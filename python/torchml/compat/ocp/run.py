"""One command line of OCP, from its words to its files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from torchml.compat.ocp import modes, processes
from torchml.compat.ocp.configuration import grid
from torchml.compat.ocp.flags import Flags, parse
from torchml.compat.ocp.folders import Folders, new_folders
from torchml.compat.ocp.translation import Translation, translate
from torchml.training.quiet import quiet


def main(words: Sequence[str]) -> int:
    """Carry out a command line, or the combinations of its sweep, and return the exit status.

    Raises:
        TorchMLError: one sentence, for the first word, key, value or file that is wrong.
    """
    quiet()
    runs = grid(parse(words))
    if runs[0].submit:
        from torchml.compat.ocp.submission import submit

        return submit([(flags, translation_of(flags)) for flags in runs])
    return max(run(flags) for flags in runs)


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
    """Return the equivalent configuration of torchml as YAML, with what differs as comments."""
    commands = {
        "train": "torchml fit --config THIS",
        "validate": "torchml validate --config THIS --ckpt_path CHECKPOINT",
        "predict": f"torchml predict CHECKPOINT {translation.test} --output predictions.npz "
        f"--leaderboard {translation.version.name} --task {translation.kind}",
        "run-relaxations": f"torchml relax CHECKPOINT {translation.relax} --output relaxed "
        f"--version-of-ocp {translation.version.name}",
    }
    lines = [f"the same in TorchML: {commands[flags.mode]}", *translation.notes]
    text = yaml.safe_dump(translation.configuration, sort_keys=False, allow_unicode=True)
    return "".join(f"# {line}\n" for line in lines) + str(text)
