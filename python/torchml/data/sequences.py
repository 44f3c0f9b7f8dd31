"""Sequences of configurations that are read on demand."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import index as as_index
from typing import overload

import numpy as np
from numpy.typing import NDArray

from torchml.data.configuration import Configuration


class LazyConfigurations(Sequence[Configuration]):
    """A sequence whose reader implements `__len__` and `read`; slices stay lazy.

    `known_sizes` are the numbers of atoms, i64[n], where they are known without reading.
    """

    known_sizes: NDArray[np.int64] | None = None

    @abstractmethod
    def read(self, index: int) -> Configuration:
        """The configuration at 0 <= index < len(self)."""

    @overload
    def __getitem__(self, index: int) -> Configuration: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Configuration]: ...
    def __getitem__(self, index: int | slice) -> Configuration | Sequence[Configuration]:
        if isinstance(index, slice):
            return Selection(self, range(len(self))[index])
        place = as_index(index)
        place += len(self) if place < 0 else 0
        if not 0 <= place < len(self):
            raise IndexError(f"there are {len(self)} configurations, {index} is not among them")
        return self.read(place)


class Selection(LazyConfigurations):
    """The elements of a sequence at some indices, in their order."""

    def __init__(self, whole: Sequence[Configuration], indices: Sequence[int]) -> None:
        self.whole = whole
        self.indices = indices
        sizes = getattr(whole, "known_sizes", None)
        if sizes is not None:
            self.known_sizes = sizes[np.asarray(indices, dtype=np.int64)]

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> Configuration:
        return self.whole[int(self.indices[index])]


class Joined(LazyConfigurations):
    """Several sequences, one after the other."""

    def __init__(self, parts: Sequence[Sequence[Configuration]]) -> None:
        self.parts = parts
        self._ends = list(accumulate(len(part) for part in parts))
        sizes = [_sizes(part) for part in parts]
        if parts and all(known is not None for known in sizes):
            self.known_sizes = np.concatenate([known for known in sizes if known is not None])

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, index: int) -> Configuration:
        part = bisect_right(self._ends, index)
        return self.parts[part][index - (self._ends[part - 1] if part else 0)]


def _sizes(part: Sequence[Configuration]) -> NDArray[np.int64] | None:
    if isinstance(part, list):
        return np.array([len(configuration) for configuration in part], dtype=np.int64)
    return getattr(part, "known_sizes", None)
