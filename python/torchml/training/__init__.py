"""Training: tasks, losses, metrics, and the commands that run them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchml.training.checkpoint import load_model
    from torchml.training.cli import Run, fit, predict, test, validate
    from torchml.training.heads import Target
    from torchml.training.normalization import Normalization
    from torchml.training.task import IS2RE, S2EF, Task

# Where each public name lives; it is imported when asked for.
_HOMES = {
    "IS2RE": "torchml.training.task",
    "Normalization": "torchml.training.normalization",
    "Run": "torchml.training.cli",
    "S2EF": "torchml.training.task",
    "Target": "torchml.training.heads",
    "Task": "torchml.training.task",
    "fit": "torchml.training.cli",
    "load_model": "torchml.training.checkpoint",
    "predict": "torchml.training.cli",
    "test": "torchml.training.cli",
    "validate": "torchml.training.cli",
}

__all__ = [
    "IS2RE",
    "S2EF",
    "Normalization",
    "Run",
    "Target",
    "Task",
    "fit",
    "load_model",
    "predict",
    "test",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Imports what is asked for: Lightning takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'torchml.training' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
