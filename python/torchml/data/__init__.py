"""Data: labelled structures in files, as configurations, graphs and batches."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchml.data.configuration import Configuration, Weights
    from torchml.data.keys import Keys

# Where each public name lives; it is imported when asked for.
_HOMES = {
    "Configuration": "torchml.data.configuration",
    "Weights": "torchml.data.configuration",
    "Keys": "torchml.data.keys",
}

__all__ = ["Configuration", "Keys", "Weights"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for: reading a file needs neither Lightning nor models."""
    if name not in _HOMES:
        raise AttributeError(f"module 'torchml.data' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
