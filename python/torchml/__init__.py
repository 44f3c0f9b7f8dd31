"""Train interatomic potentials in PyTorch and run them unchanged in any KIM-compliant simulator."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.errors import TorchMLError
    from torchml.export.api import export_model
    from torchml.inference.calculator import Calculator
    from torchml.inference.potential import Potential
    from torchml.neighbors.staged import staged_graph
    from torchml.training.api import fit

__version__ = "0.2.0"
__all__ = [
    "Calculator",
    "Potential",
    "TorchMLError",
    "__version__",
    "export_model",
    "fit",
    "staged_graph",
]

_HOMES = {
    "Calculator": "torchml.inference.calculator",
    "Potential": "torchml.inference.potential",
    "TorchMLError": "torchml.errors",
    "export_model": "torchml.export.api",
    "fit": "torchml.training.api",
    "staged_graph": "torchml.neighbors.staged",
}

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
