"""Train interatomic potentials in PyTorch and run them unchanged in any KIM-compliant simulator."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.calculator import Calculator
    from torchml.errors import TorchMLError
    from torchml.graphs import staged_graph
    from torchml.potential import Potential

__version__ = "0.1.0"
__all__ = ["Calculator", "Potential", "TorchMLError", "__version__", "staged_graph"]

_HOMES = {
    "Calculator": "torchml.calculator",
    "Potential": "torchml.potential",
    "TorchMLError": "torchml.errors",
    "staged_graph": "torchml.graphs",
}

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
