"""Files of numpy arrays, .npz, that others wrote."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchml.errors import FileError

# What a damaged file, or another kind of file, makes numpy and its zip files raise.
_ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, OverflowError, MemoryError),
    *(NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile),
)


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file; no pickle in it is read.

    Args:
        path: of the file.
        names: of the arrays; all of the file where there are none.

    Returns:
        The arrays by name.

    Raises:
        FileError: the file or an array is not there, is damaged, or holds objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in names or file.files}
    except _ERRORS as error:
        raise FileError(
            f"{path} cannot be read ({' '.join(str(error).split())}), expected an .npz file of "
            "numbers and texts"
        ) from None
