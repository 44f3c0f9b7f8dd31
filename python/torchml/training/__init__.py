"""Training: tasks, losses, metrics, and the commands that run them."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.importers.checkpoint import load_model
    from torchml.training.api import Run, fit, predict, test, validate
    from torchml.training.live_objects import unsaved_network
    from torchml.training.loop.energy_scaling import Normalization
    from torchml.training.loop.heads import Target
    from torchml.training.loop.losses import (
        MaskedLoss,
        MultiTaskLoss,
        SerialBCEWithLogitsLoss,
        VectorNormLoss,
    )
    from torchml.training.loop.task import IS2RE, S2EF, Task
    from torchml.training.soap import SOAP

# Where each public name lives; it is imported on demand.
_HOMES = {
    "IS2RE": "torchml.training.loop.task",
    "MaskedLoss": "torchml.training.loop.losses",
    "MultiTaskLoss": "torchml.training.loop.losses",
    "Normalization": "torchml.training.loop.energy_scaling",
    "Run": "torchml.training.api",
    "S2EF": "torchml.training.loop.task",
    "SOAP": "torchml.training.soap",
    "SerialBCEWithLogitsLoss": "torchml.training.loop.losses",
    "Target": "torchml.training.loop.heads",
    "Task": "torchml.training.loop.task",
    "VectorNormLoss": "torchml.training.loop.losses",
    "fit": "torchml.training.api",
    "load_model": "torchml.importers.checkpoint",
    "predict": "torchml.training.api",
    "test": "torchml.training.api",
    "unsaved_network": "torchml.training.live_objects",
    "validate": "torchml.training.api",
}

__all__ = [
    "IS2RE",
    "S2EF",
    "SOAP",
    "MaskedLoss",
    "MultiTaskLoss",
    "Normalization",
    "Run",
    "SerialBCEWithLogitsLoss",
    "Target",
    "Task",
    "VectorNormLoss",
    "fit",
    "load_model",
    "predict",
    "test",
    "unsaved_network",
    "validate",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
