"""The one exception type of TorchML: the C++ core raises it, and so does the Python around it."""

from torchml._core import Error as TorchMLError

__all__ = ["TorchMLError"]
