"""Convert user input to plain numbers; anything else raises an error that names the parameter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from torchml.errors import TorchMLError


def finite(what: str, value: Any) -> float:
    """Return a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, (bool, np.bool_)) or not math.isfinite(number):
        raise TorchMLError(f"{what} is {value!r}, expected a finite number")
    return number


def positive(what: str, value: Any) -> float:
    """Return a finite number above zero."""
    if (number := finite(what, value)) <= 0:
        raise TorchMLError(f"{what} is {value!r}, expected a positive number")
    return number


def whole(what: str, value: Any) -> int:
    """Return a whole number; 4.0 is one too."""
    if (number := finite(what, value)) != round(number):
        raise TorchMLError(f"{what} is {value!r}, expected a whole number")
    return round(number)


def flag(what: str, value: Any) -> bool:
    """True or false, also as 1 or 0."""
    if isinstance(value, (bool, np.bool_)) or value in (0, 1):
        return bool(value)
    raise TorchMLError(f"{what} is {value!r}, expected true or false")
