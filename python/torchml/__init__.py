"""Train interatomic potentials in PyTorch and run them unchanged in any KIM-compliant simulator."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """Imports what is asked for: torch takes seconds, and `torchml --help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'torchml' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
