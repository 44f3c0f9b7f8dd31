"""The one exception type of TorchML: the C++ libraries raise it, and so does the Python."""

from torchml._descriptors import Error as TorchMLError

__all__ = ["TorchMLError"]
