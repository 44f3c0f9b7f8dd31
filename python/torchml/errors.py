"""The one exception type of TorchML: the C++ core raises it, and so does the Python around it."""

import torch  # noqa: F401  (before the core, which links the libtorch that this loads)

from torchml._core import Error as TorchMLError

__all__ = ["TorchMLError"]
