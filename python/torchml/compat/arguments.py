"""Arguments of a class of torch, compared with its signature before it is made."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from torchml.errors import TorchMLError


def check_arguments(cls: type, arguments: Mapping[str, Any], place: str) -> None:
    """Check the names of the arguments of an optimiser or a scheduler.

    Args:
        cls: its first argument is given later.
        arguments: all others.
        place: their key in the configuration, which errors name.

    Raises:
        TorchMLError: one is unknown, or one without a default is missing.
    """
    known = list(inspect.signature(cls).parameters.values())[1:]
    names = [parameter.name for parameter in known]
    for name in arguments:
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"expected one of {', '.join(names)}"
            raise TorchMLError(f"{place}.{name} is no argument of {cls.__name__}; {hint}")
    for parameter in known:
        if parameter.default is parameter.empty and parameter.name not in arguments:
            raise TorchMLError(f"{place} lacks {parameter.name}, which {cls.__name__} needs")
