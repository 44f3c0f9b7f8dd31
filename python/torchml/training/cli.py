"""The commands `torchml fit`, `validate`, `test`, `predict` and `uncertainty`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from torchml.errors import TorchMLError
from torchml.training import uncertainty
from torchml.training.members import CHECKPOINT, MEMBERS, fit_committee, taken
from torchml.training.run import Run, explained
from torchml.training.run import run as run_settings
from torchml.training.settings import from_words


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line; an error is one line, and the exit status 1."""
    try:
        if arguments[0] == "uncertainty":
            uncertainty.main(arguments)
        elif (configuration := _explained(arguments)) is not None:
            print(configuration)
        else:
            run(arguments)
    except TorchMLError as error:
        print(f"torchml {arguments[0]}: error: {error}", file=sys.stderr)
        return 1
    return 0


def run(arguments: Sequence[str]) -> Run:
    """Carry out a command line.

    Args:
        arguments: the command (fit, validate, test or predict), then its words.

    Returns:
        The run; of a committee that of the network that learned from it, else of its last member.

    Raises:
        TorchMLError: one sentence, for the first key, value or file that is wrong.
    """
    if arguments[0] != "fit" and (number := taken(arguments, MEMBERS)[0]):
        raise TorchMLError(f"'{arguments[0]} {MEMBERS} {number}' is given, expected fit")
    if arguments[0] != "fit":
        return run_settings(from_words(arguments))
    path, words = taken(arguments, CHECKPOINT)  # that of a committee lies in its members' folders
    settings = from_words(words)
    if settings.is_committee:
        return fit_committee(settings, words, path)
    return run_settings(from_words(arguments) if path else settings)


def _explained(arguments: Sequence[str]) -> str | None:
    """What --print_config prints of a fine-tuning; None for other commands and trainings."""
    words = [word for word in arguments if not word.startswith("--print_config")]
    if len(words) == len(arguments) or arguments[0] != "fit":
        return None
    settings = from_words(words)
    return None if settings.init_from is None else explained(settings)
