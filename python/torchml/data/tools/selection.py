"""Which configurations make up a smaller data set, or the parts of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.progress import track
from torchml.data.splits import PARTS
from torchml.errors import DataError

GROUPS = ("group", "sid", "formula")


def group_names(configurations: Sequence[Configuration], kind: str) -> list[str]:
    """Return the name of the group of each configuration.

    Args:
        configurations: each is read once.
        kind: "group", "sid" (frames of one system), or "formula" (equal composition).

    Raises:
        DataError: a configuration has none.
    """
    names = []
    for c in track(configurations, f"reading the {kind}s", len(configurations)):
        name = formula(c) if kind == "formula" else getattr(c, kind)
        if name is None:
            raise DataError(f"{c.name} has no {kind}, expected one for each configuration")
        names.append(name)
    return names


def formula(c: Configuration) -> str:
    """Atomic numbers and how often they occur, as "1x2 8x1" for water."""
    numbers, counts = np.unique(c.numbers, return_counts=True)
    return " ".join(f"{n}x{k}" for n, k in zip(numbers, counts, strict=True))


def split_by_groups(
    names: Sequence[str], fractions: dict[str, float], seed: int
) -> dict[str, NDArray[np.int64]]:
    """Divide configurations so that no group is in two parts.

    Groups go, in random order and large ones first, to the part that lacks most of its share. A
    part that is left without any gets the smallest of another one.

    Args:
        names: the group of each configuration.
        fractions: share of each of train, val and test; in total 1.
        seed: of the order.

    Returns:
        Indices in ascending order, i64[n], by part.

    Raises:
        DataError: there are fewer groups than parts.
    """
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(name, []).append(index)
    order = np.random.default_rng(seed).permutation(len(groups))
    members = [list(groups.values())[k] for k in order]
    members.sort(key=len, reverse=True)  # stable: equal sizes stay in random order
    wanted = [part for part in PARTS if fractions[part] > 0]
    if len(groups) < len(wanted):
        raise DataError(
            f"there are {len(groups)} groups for {', '.join(wanted)}, expected at least one for "
            "each"
        )
    parts: dict[str, list[list[int]]] = {part: [] for part in PARTS}
    for group in members:
        lacking = {p: fractions[p] * len(names) - sum(map(len, parts[p])) for p in wanted}
        parts[max(lacking, key=lacking.__getitem__)].append(group)
    for part in wanted:
        if not parts[part]:
            donors = [several for several in parts.values() if len(several) > 1]
            parts[part].append(min(donors, key=lambda several: len(several[-1])).pop())
    return {
        part: np.sort(np.array([k for group in several for k in group], dtype=np.int64))
        for part, several in parts.items()
    }


def at_random(count: int, size: int, seed: int) -> NDArray[np.int64]:
    """Return `size` of `count` indices, drawn without repetition, in ascending order."""
    _check_size(size, count)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))


def of_each_group(names: Sequence[str], size: int, seed: int) -> NDArray[np.int64]:
    """Return `size` random indices of each group, or all of a smaller one, in ascending order."""
    order = np.random.default_rng(seed).permutation(len(names))
    taken: dict[str, int] = {}
    chosen = []
    for index in order.tolist():
        taken[names[index]] = taken.get(names[index], 0) + 1
        if taken[names[index]] <= size:
            chosen.append(index)
    return np.sort(np.array(chosen, dtype=np.int64))


def farthest(features: NDArray[np.float64], size: int, seed: int) -> NDArray[np.int64]:
    """Return indices of points that are far from each other, in ascending order.

    Farthest-point sampling (Gonzalez, Theor. Comput. Sci. 38, 293 (1985)): after a random first
    one, each further point is the one with the largest distance to those that are chosen. Where
    all distances are zero, random ones follow.

    Args:
        features: [points, any].
        size: how many points to choose.
        seed: of the first one.
    """
    _check_size(size, len(features))
    order = np.random.default_rng(seed).permutation(len(features))
    features = features[order]  # ties are decided at random
    chosen = [0]
    nearest = np.full(len(features), np.inf)
    for _ in range(size - 1):
        nearest = np.minimum(nearest, np.linalg.norm(features - features[chosen[-1]], axis=1))
        nearest[chosen[-1]] = -1.0
        chosen.append(int(np.argmax(nearest)))
    return np.sort(order[chosen[:size]])


def describe(configurations: Sequence[Configuration]) -> NDArray[np.float64]:
    """Return features of configurations: shares of the elements, and the energy per atom.

    The energy, where all have one, is what a least-squares fit of energies of elements leaves,
    in units of its standard deviation; y_relaxed counts where there is no energy.

    Returns:
        float[configurations, elements (+ 1)].
    """
    counts = np.zeros((len(configurations), 119))
    energies = np.full(len(configurations), np.nan)
    for k, c in enumerate(track(configurations, "describing", len(configurations))):
        counts[k] = np.bincount(c.numbers, minlength=119)
        energy = c.relaxed_energy if c.energy is None else c.energy
        energies[k] = np.nan if energy is None else energy / len(c)
    shares = counts[:, counts.any(axis=0)]
    shares /= shares.sum(axis=1, keepdims=True)
    if np.isnan(energies).any():
        return shares
    left = energies - shares @ np.linalg.lstsq(shares, energies, rcond=None)[0]
    spread = left.std()
    return np.column_stack([shares, left / spread]) if spread > 1e-9 else shares


def _check_size(size: int, count: int) -> None:
    if not 1 <= size <= count:
        raise DataError(f"{size} configurations are asked for, expected 1 to {count}")
