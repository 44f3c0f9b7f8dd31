"""Train interatomic potentials in PyTorch and run them unchanged in any KIM-compliant simulator."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.errors import (
        DataError,
        FileError,
        ModelError,
        StructureError,
        TorchMLError,
    )
    from torchml.export.pipeline import export_model
    from torchml.inference.calculator import Calculator, TorchMLCalculator
    from torchml.inference.evaluation import Evaluation
    from torchml.inference.potential import Potential
    from torchml.neighbors.staged import staged_graph
    from torchml.relaxation.api import relax
    from torchml.training import fit

__version__ = "0.2.0"

_HOMES = {
    "Calculator": "torchml.inference.calculator",
    "DataError": "torchml.errors",
    "Evaluation": "torchml.inference.evaluation",
    "FileError": "torchml.errors",
    "ModelError": "torchml.errors",
    "Potential": "torchml.inference.potential",
    "StructureError": "torchml.errors",
    "TorchMLCalculator": "torchml.inference.calculator",
    "TorchMLError": "torchml.errors",
    "export_model": "torchml.export.pipeline",
    "fit": "torchml.training",
    "relax": "torchml.relaxation.api",
    "staged_graph": "torchml.neighbors.staged",
}

__all__ = [
    "Calculator",
    "DataError",
    "Evaluation",
    "FileError",
    "ModelError",
    "Potential",
    "StructureError",
    "TorchMLCalculator",
    "TorchMLError",
    "__version__",
    "export_model",
    "fit",
    "relax",
    "staged_graph",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
