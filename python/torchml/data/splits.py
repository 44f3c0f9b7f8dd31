"""Which configurations train, validate and test."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchml.errors import DataError, FileError

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Sizes of the parts, which are drawn at random without repetition.

    A whole number counts configurations, a number between 0 and 1 is a fraction of all, and a
    text is the path of a file with indices (from 0, separated by spaces or lines).

    val and test do not depend on the size of train: points of a learning curve are measured on the
    same configurations.

    Args:
        train: configurations to train on; by default all others.
        val: configurations to validate on; by default none.
        test: configurations to test on; by default none.
        seed: random seed of the choice.
    """

    train: int | float | str | None = None
    val: int | float | str | None = None
    test: int | float | str | None = None
    seed: int = 0

    def indices(
        self, count: int, parts: Collection[str] = ("val", "test")
    ) -> dict[str, NDArray[np.int64]]:
        """Draw the indices of train, val and test.

        Args:
            count: number of configurations.
            parts: those of val and test that are cut from them.

        Returns:
            i64[n] by part: random ones in ascending order, those of a file in its order.

        Raises:
            DataError: more configurations are asked for than there are, or a part has files of
                its own.
        """
        for part in ("val", "test"):
            if part not in parts and getattr(self, part) is not None:
                raise DataError(
                    f"split.{part} is {getattr(self, part)!r}, but {part} has files of its own"
                )
        indices = {
            part: _read_indices(size, count)
            for part in PARTS
            if isinstance(size := getattr(self, part), str)
        }
        _check_overlap({part: getattr(self, part) for part in indices}, indices)
        taken = np.zeros(count, dtype=bool)
        for chosen in indices.values():
            taken[chosen] = True
        free = np.flatnonzero(~taken)
        order = np.random.default_rng(self.seed).permutation(count)
        order = order[~taken[order]]
        sizes = self._sizes(count, len(free))
        # From the back, so that train may change without changing the others.
        for part in reversed(PARTS):
            if part in indices:
                continue
            indices[part] = np.sort(order[len(order) - sizes[part] :])
            order = order[: len(order) - sizes[part]]
        if len(indices["train"]) == 0:
            raise DataError(
                f"the split leaves none of {count} configurations to train, expected at least one"
            )
        return {part: indices[part] for part in PARTS}

    def _sizes(self, count: int, free: int) -> dict[str, int]:
        """Sizes of the parts without a file, of `free` configurations."""
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
            raise DataError(f"the split asks for {asked}, but there are {free} to choose from")
        sizes.setdefault("train", free - sum(sizes.values()))
        return {part: sizes.get(part, 0) for part in PARTS}


def _size(size: int | float, part: str, count: int) -> int:
    if isinstance(size, bool) or size < 0 or (isinstance(size, float) and not 0 <= size <= 1):
        raise DataError(
            f"split.{part} is {size!r}, expected a number of configurations, a fraction between 0 "
            "and 1, or a file"
        )
    if isinstance(size, int):
        return size
    rounded = int(np.floor(size * count + 0.5))
    if size > 0 and rounded == 0:
        raise DataError(
            f"split.{part} is {size} of {count} configurations, which is none, expected more"
        )
    return rounded


def _read_indices(path: str, count: int) -> NDArray[np.int64]:
    """The indices in a file: all different, and among those of `count` configurations."""
    try:
        words = Path(path).expanduser().read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"the index file {path} cannot be read: {error}") from None
    entries = []
    for word in words:
        try:
            # KLIFF and others write them as numpy does, 12 or 1.200000000000000000e+01.
            index = int(word) if word.lstrip("+-").isdigit() else _whole(word)
        except ValueError:
            raise DataError(f"{path} holds {word!r:.30}, expected indices from 0") from None
        if not 0 <= index < count:
            raise DataError(
                f"{path} holds the index {index}, expected 0 to {count - 1} for {count} "
                "configurations"
            )
        entries.append(index)
    indices = np.array(entries, dtype=np.int64)
    if len(indices) == 0:
        raise DataError(f"{path} is empty, expected indices from 0")
    values, times = np.unique(indices, return_counts=True)
    if times.max() > 1:
        raise DataError(
            f"{path} holds the index {values[times.argmax()]} {times.max()} times, expected each "
            "once"
        )
    return indices


def _whole(word: str) -> int:
    value = float(word)
    if not value.is_integer():
        raise ValueError(word)
    return int(value)


def _check_overlap(files: dict[str, str], indices: dict[str, NDArray[np.int64]]) -> None:
    parts = list(indices)
    for i, first in enumerate(parts):
        for second in parts[i + 1 :]:
            common = np.intersect1d(indices[first], indices[second])
            if len(common):
                raise DataError(
                    f"the index {common[0]} is in {files[first]} and in {files[second]}, expected "
                    f"{first} and {second} to have no configuration in common"
                )
