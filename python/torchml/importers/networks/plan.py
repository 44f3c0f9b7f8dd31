"""From a plan, plain values that `torchml.importers.reading.plan` recorded, to a network."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def built(value: Any, *parts: ModuleType) -> Any:
    """The object that a recorded part names, with all parts in its arguments.

    Args:
        value: a part, a list of values, or a plain value, which is returned as it is.
        parts: the modules whose classes the plan names.
    """
    if isinstance(value, list):
        return [built(one, *parts) for one in value]
    if isinstance(value, dict) and "part" in value:
        home = next(one for one in parts if hasattr(one, value["part"]))
        named = {key: built(one, *parts) for key, one in value["named"].items()}
        return getattr(home, value["part"])(*built(value["arguments"], *parts), **named)
    return value
