"""The command `python -m torchml.compat.ocp`: one run, a sweep, or jobs."""

from __future__ import annotations

from collections.abc import Sequence

from torchml.compat.ocp.configuration import grid
from torchml.compat.ocp.flags import parse
from torchml.compat.ocp.run import run, translation_of
from torchml.compat.ocp.submission import submit
from torchml.training.quiet import quiet


def main(words: Sequence[str]) -> int:
    """Carry out a command line, or the combinations of its sweep, and return the exit status.

    Raises:
        TorchMLError: one sentence, for the first word, key, value or file that is wrong.
    """
    quiet()
    runs = grid(parse(words))
    if runs[0].submit:
        return submit([(flags, translation_of(flags)) for flags in runs])
    return max(run(flags) for flags in runs)
