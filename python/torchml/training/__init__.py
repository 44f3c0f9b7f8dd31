"""Training: tasks, losses, metrics, and the commands that run them."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

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

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
