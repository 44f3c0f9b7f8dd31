"""metadata.npz: the numbers of atoms of the configurations in a folder of LMDB files.

fairchem and OCP put it beside the files of a data set; `natoms` lists them in the order of the
names of the files. With it, batches by atoms need no look into the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.formats.npz import read_arrays
from torchml.data.output import written_then_renamed
from torchml.errors import FileError, TorchMLError

NAME = "metadata.npz"


def sizes_of(
    folder: Path, files: Sequence[Sequence[Configuration]]
) -> Sequence[NDArray[np.int64] | None]:
    """Return the sizes of the rows of all files of a folder, i64[n] of each, as the folder lists.

    All are None where the list is of other files: it has another length, or other sizes of the
    first and the last row of a file.
    """
    ends = list(accumulate(map(len, files)))
    sizes = _read(folder, ends[-1])
    shares = [] if sizes is None else np.split(sizes, ends[:-1])
    if not shares or not all(map(_fit, shares, files)):
        return [None] * len(files)
    return shares


def _fit(sizes: NDArray[np.int64], rows: Sequence[Configuration]) -> bool:
    try:
        return [len(rows[0]), len(rows[-1])] == [int(sizes[0]), int(sizes[-1])]
    except TorchMLError:  # an error of those who read the row
        return False


def _read(folder: Path, rows: int) -> NDArray[np.int64] | None:
    """The sizes that a folder lists, i64[rows]; None unless it lists as many."""
    try:
        sizes = read_arrays(folder / NAME, "natoms")["natoms"]
    except FileError:
        return None
    if sizes.shape != (rows,) or sizes.dtype.kind not in "iu" or (sizes < 1).any():
        return None
    return sizes.astype(np.int64)


def write_sizes(path: str | Path, sizes: Sequence[int]) -> None:
    """List the sizes of the rows of a file, if it is the only one in its folder."""
    path = Path(path)
    if set(path.parent.glob("*.aselmdb")) <= {path}:
        with written_then_renamed(path.parent / NAME) as temporary:
            np.savez(temporary, natoms=np.array(sizes, dtype=np.int64))


def forget_sizes(path: str | Path) -> None:
    """Remove the sizes of a folder in which a file is to be written: they will be wrong."""
    (Path(path).parent / NAME).unlink(missing_ok=True)
