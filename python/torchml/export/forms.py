"""Which forms of a model its portable model gets: TorchScript, a compiled archive, or both."""

from __future__ import annotations

import os
from dataclasses import dataclass

from torchml.errors import TorchMLError
from torchml.export.aoti.target import require_compiler, target_of
from torchml.models import EdgeModel, Sum
from torchml.models.staged import StagedModel

FORMATS = ("torchscript", "aoti", "both")
VARIABLE = "TORCHML_FORMAT"


@dataclass(frozen=True)
class Forms:
    """The forms to write.

    Attributes:
        format: torchscript, aoti or both.
        automatic: the caller left the choice: what cannot be had is left out, with a note.
        note: why the compiled archive is left out; empty where nothing has to be said.
    """

    format: str
    automatic: bool = False
    note: str = ""


def choose(
    wanted: str | None, model: EdgeModel | StagedModel | None, *, compiled: bool = False
) -> Forms:
    """The forms that a caller names, or those that a model can have here.

    A network gets both where there is a compiler. An archive, and a network that was written as
    TorchScript, stays as it is. Members of committees and parts of sums are in TorchScript alone.

    Args:
        wanted: torchscript, aoti or both; None takes that of the environment variable
            TORCHML_FORMAT, and without it leaves the choice.
        model: the network in Python; None for an archive.
        compiled: the caller gave options of compiled archives.

    Raises:
        TorchMLError: the environment variable has another value.
    """
    if wanted is not None:
        return Forms(wanted)
    if compiled:
        return Forms("both")
    if by_environment := format_of_environment():
        return Forms(by_environment)
    if not isinstance(model, EdgeModel):
        return Forms("torchscript", automatic=True)
    if model.members or isinstance(model, Sum):
        what = "members" if model.members else "parts"
        return Forms("torchscript", True, f"a compiled archive does not show the {what}")
    try:
        require_compiler()
        target_of(None)
    except TorchMLError as error:
        return Forms("torchscript", True, str(error))
    return Forms("both", automatic=True)


def format_of_environment() -> str | None:
    """Return the value of TORCHML_FORMAT; None where it is not set.

    Raises:
        TorchMLError: it is neither torchscript, nor aoti, nor both.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted and wanted not in FORMATS:
        raise TorchMLError(f"{VARIABLE} is '{wanted}', expected {' | '.join(FORMATS)}")
    return wanted or None
