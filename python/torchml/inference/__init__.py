"""Trained models evaluated: in the engine, and as calculators of ASE."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.inference.calculator import Calculator
    from torchml.inference.evaluation import Evaluation
    from torchml.inference.many import ManyStructures, batches_by_edges, evaluate_many
    from torchml.inference.potential import Potential

_HOMES = {
    "Calculator": "torchml.inference.calculator",
    "Evaluation": "torchml.inference.evaluation",
    "ManyStructures": "torchml.inference.many",
    "Potential": "torchml.inference.potential",
    "batches_by_edges": "torchml.inference.many",
    "evaluate_many": "torchml.inference.many",
}

__all__ = [
    "Calculator",
    "Evaluation",
    "ManyStructures",
    "Potential",
    "batches_by_edges",
    "evaluate_many",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
