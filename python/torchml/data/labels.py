"""Configurations of values that a reader returns: names, units, shapes, missing values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchml.data.configuration import Configuration, Weights
from torchml.data.keys import Keys, find_key
from torchml.errors import DataError, TorchMLError
from torchml.voigt import to_voigt


def configuration_of(
    numbers: Any,
    positions: Any,
    cell: Any,
    pbc: Any,
    labels: Mapping[str, Any],
    keys: Keys,
    source: str,
    index: int,
    fixed: Any = None,
    tags: Any = None,
) -> Configuration:
    """Make the configuration of N atoms from labels by their names in the file.

    Lengths and labels are in the units of `keys`. energy_weight, forces_weight and stress_weight
    are read too if they exist.
    """
    where = f"{source}, configuration {index}"
    atoms = np.size(numbers)
    length = keys.length_factor
    cell = np.zeros((3, 3)) if cell is None else _numbers(cell, "cell", where) * length

    def label(name: str, wanted: str | None, size: int) -> tuple[str, NDArray[np.float64]] | None:
        """Key and flat values of a label, None where it is missing; sizes are checked later."""
        key = find_key(wanted, name, labels, where)
        if key is None or labels[key] is None:
            return None
        value = _numbers(labels[key], key, where)
        if keys.allow_missing and np.isnan(value).any():
            return None
        if size and value.size != size:
            raise DataError(
                f"{where}: {key} holds {value.size} numbers for {atoms} atoms, expected {size}"
            )
        return key, value

    energy = label("energy", keys.energy, 1)
    forces = label("forces", keys.forces, 3 * atoms)
    stress = label("stress", keys.stress, 0)
    group = find_key(keys.group, "group", labels, where)
    return Configuration(
        numbers=numbers,
        positions=_numbers(positions, "positions", where) * length,
        cell=cell,
        pbc=pbc,
        energy=None if energy is None else energy[1].item() * keys.energy_factor,
        forces=None if forces is None else forces[1].reshape(atoms, 3) * keys.force_factor,
        stress=None if stress is None else _stress(*stress, cell, keys, where),
        fixed=fixed,
        tags=tags,
        targets={name: labels[name] for name in keys.targets if labels.get(name) is not None},
        weights=_weights(labels, keys, where),
        source=source,
        index=index,
        group=None if group is None or labels[group] is None else str(labels[group]),
    )


def check_named_keys(keys: Keys, present: Mapping[str, Any], where: str) -> None:
    """Raise DataError if a label that the keys name is not in a file."""
    named = {"energy": keys.energy, "forces": keys.forces, "stress": keys.stress}
    named |= {"weight": keys.weight, "group": keys.group}
    wanted = {f"keys.{what}": key for what, key in named.items() if key not in (None, "auto")}
    wanted |= {f"keys.targets[{i}]": key for i, key in enumerate(keys.targets)}
    for what, key in wanted.items():
        if key not in present:
            there = ", ".join(f"'{name}'" for name in sorted(present)) or "no labels"
            raise DataError(f"{where} has no '{key}' ({what}), it has {there}")


def _numbers(value: Any, name: str, where: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(value)
        if array.dtype == np.bool_:
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{where}: {name} is {value!r:.60}, expected numbers") from None


def _stress(
    key: str, value: NDArray[np.float64], cell: NDArray[np.float64], keys: Keys, where: str
) -> NDArray[np.float64]:
    """Six components in eV/Å³, from six or from a matrix; virials are -stress times volume."""
    if value.size == 9:
        value = to_voigt(value.reshape(3, 3))
    if value.size != 6:
        raise DataError(f"{where}: {key} holds {value.size} numbers, expected 6 or 9")
    value = value.reshape(6)
    if "virial" not in key.lower():
        return value * keys.stress_factor
    volume = abs(np.linalg.det(cell))
    if volume == 0:
        raise DataError(f"{where}: {key} cannot be turned into a stress without a cell")
    return np.asarray(-value * keys.energy_factor / volume)


def _weights(labels: Mapping[str, Any], keys: Keys, where: str) -> Weights:
    def number(name: str | None) -> float:
        value = labels.get(name) if name else None
        if value is None:
            return 1.0
        weight = _numbers(value, str(name), where)
        if weight.size != 1:
            raise DataError(f"{where}: {name} holds {weight.size} numbers, expected one weight")
        return float(weight.item())

    whole = number(keys.weight)
    terms = [whole * number(f"{term}_weight") for term in ("energy", "forces", "stress")]
    try:
        return Weights(*terms)
    except TorchMLError as error:
        raise DataError(f"{where}: {error}") from None
