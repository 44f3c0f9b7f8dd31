"""Names of a package that are imported when they are asked for.

torch and Lightning take seconds to import; `torchml --help` and reading a file need neither.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose public names live in the modules `homes[name]`."""

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(import_module(homes[name]), name)

    return find


def moved(old: str, new: str) -> None:
    """Make the module `old` another name of the module `new`, which takes its place."""
    sys.modules[old] = import_module(new)
