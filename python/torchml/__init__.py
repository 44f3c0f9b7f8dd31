"""Train interatomic potentials in PyTorch and run them unchanged in any KIM-compliant simulator."""

import torch as _torch  # noqa: F401  (loads the libtorch that torchml._core links)

from torchml.calculator import Calculator
from torchml.errors import TorchMLError
from torchml.graphs import staged_graph
from torchml.potential import Potential

__version__ = "0.1.0"
__all__ = ["Calculator", "Potential", "TorchMLError", "__version__", "staged_graph"]
