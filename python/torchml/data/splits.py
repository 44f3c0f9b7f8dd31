"""Which configurations train, validate and test."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchml.errors import TorchMLError

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """How many configurations each part gets, drawn at random without repetition.

    A whole number counts configurations, a number between 0 and 1 is a fraction of all, and a
    text is the path of a file with their indices (from 0, separated by spaces or lines).

    val and test depend on the seed and on themselves, not on train: learning curves that train on
    more and more configurations are measured on the same ones.

    Args:
        train: configurations to train on; by default all that the others leave.
        val: configurations to validate on; by default none.
        test: configurations to test on; by default none.
        seed: of the random choice.
    """

    train: int | float | str | None = None
    val: int | float | str | None = None
    test: int | float | str | None = None
    seed: int = 0

    def indices(
        self, count: int, parts: Collection[str] = ("val", "test")
    ) -> dict[str, NDArray[np.int64]]:
        """Indices of train, val and test among `count` configurations.

        Those drawn at random come in ascending order, those of a file in its order. parts: which
        of val and test are to be cut; asking for a cut of the others is an error.
        """
        for part in ("val", "test"):
            if part not in parts and getattr(self, part) is not None:
                raise TorchMLError(
                    f"split.{part} is {getattr(self, part)!r}, but {part} has files of its own"
                )
        found = {
            part: _read_indices(size, count)
            for part in PARTS
            if isinstance(size := getattr(self, part), str)
        }
        _check_overlap({part: getattr(self, part) for part in found}, found)
        taken = np.zeros(count, dtype=bool)
        for chosen in found.values():
            taken[chosen] = True
        free = np.flatnonzero(~taken)
        order = np.random.default_rng(self.seed).permutation(count)
        order = order[~taken[order]]
        sizes = self._sizes(count, len(free))
        # From the back, so that train may change without changing the others.
        for part in reversed(PARTS):
            if part in found:
                continue
            found[part] = np.sort(order[len(order) - sizes[part] :])
            order = order[: len(order) - sizes[part]]
        if len(found["train"]) == 0:
            raise TorchMLError(
                f"the split leaves none of {count} configurations to train, expected at least one"
            )
        return {part: found[part] for part in PARTS}

    def _sizes(self, count: int, free: int) -> dict[str, int]:
        """How many configurations each part without a file gets, of those that are free."""
        sizes = {}
        for part in PARTS:
            size = getattr(self, part)
            if size is None or isinstance(size, str):
                continue
            sizes[part] = _size(size, part, count)
        # Rounding fractions of 1 in total must not leave configurations over, or ask for more.
        numbers = [getattr(self, part) for part in PARTS]
        fractions = [n for n in numbers if isinstance(n, float)]
        only_fractions = len(fractions) == sum(number is not None for number in numbers)
        if only_fractions and "train" in sizes and abs(sum(fractions) - 1) < 1e-9:
            sizes["train"] = count - sum(sizes.get(part, 0) for part in ("val", "test"))
        if sum(sizes.values()) > free:
            asked = " + ".join(f"{size} to {part}" for part, size in sizes.items())
            raise TorchMLError(f"the split asks for {asked}, but there are {free} to choose from")
        sizes.setdefault("train", free - sum(sizes.values()))
        return {part: sizes.get(part, 0) for part in PARTS}


def _size(size: int | float, part: str, count: int) -> int:
    if isinstance(size, bool) or size < 0 or (isinstance(size, float) and not 0 <= size <= 1):
        raise TorchMLError(
            f"split.{part} is {size!r}, expected a number of configurations, a fraction between 0 "
            "and 1, or a file"
        )
    if isinstance(size, int):
        return size
    rounded = int(np.floor(size * count + 0.5))
    if size > 0 and rounded == 0:
        raise TorchMLError(
            f"split.{part} is {size} of {count} configurations, which is none, expected more"
        )
    return rounded


def _read_indices(path: str, count: int) -> NDArray[np.int64]:
    """The indices in a file: all different, and among those of `count` configurations."""
    try:
        words = Path(path).expanduser().read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise TorchMLError(f"the index file {path} cannot be read: {error}") from None
    found = []
    for word in words:
        try:
            # KLIFF and others write them as numpy does, 12 or 1.200000000000000000e+01.
            index = int(word) if word.lstrip("+-").isdigit() else _whole(word)
        except ValueError:
            raise TorchMLError(f"{path} holds {word!r:.30}, expected indices from 0") from None
        if not 0 <= index < count:
            raise TorchMLError(
                f"{path} holds the index {index}, expected 0 to {count - 1} for {count} "
                "configurations"
            )
        found.append(index)
    indices = np.array(found, dtype=np.int64)
    if len(indices) == 0:
        raise TorchMLError(f"{path} is empty, expected indices from 0")
    values, times = np.unique(indices, return_counts=True)
    if times.max() > 1:
        raise TorchMLError(
            f"{path} holds the index {values[times.argmax()]} {times.max()} times, expected each "
            "once"
        )
    return indices


def _whole(word: str) -> int:
    value = float(word)
    if not value.is_integer():
        raise ValueError(word)
    return int(value)


def _check_overlap(files: dict[str, str], found: dict[str, NDArray[np.int64]]) -> None:
    parts = list(found)
    for i, first in enumerate(parts):
        for second in parts[i + 1 :]:
            common = np.intersect1d(found[first], found[second])
            if len(common):
                raise TorchMLError(
                    f"the index {common[0]} is in {files[first]} and in {files[second]}, expected "
                    f"{first} and {second} to have no configuration in common"
                )
