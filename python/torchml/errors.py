"""Exceptions of TorchML.

The C++ libraries raise `TorchMLError` itself; Python code raises the subclass that fits. A message
is one sentence: what was wrong, where, and what was expected.
"""

from torchml._descriptors import Error as TorchMLError

# Tracebacks show where a class is at home.
TorchMLError.__module__, TorchMLError.__qualname__ = __name__, "TorchMLError"
TorchMLError.__name__ = "TorchMLError"

__all__ = ["DataError", "FileError", "ModelError", "StructureError", "TorchMLError"]


class FileError(TorchMLError):
    """A file or folder is missing, unreadable, damaged or of another kind."""


class ModelError(TorchMLError):
    """A model contradicts itself or its metadata, or lacks metadata."""


class DataError(TorchMLError):
    """Structures or labels are wrong, or do not fit the model."""


class StructureError(DataError):
    """One of many structures cannot be evaluated.

    Attributes:
        index: its position among them.
    """

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (str(self), self.index)
