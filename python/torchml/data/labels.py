"""Configurations of values that a reader returns: names, units, shapes, missing values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchml.data.configuration import Configuration, Weights, extent
from torchml.data.extras import read_extras
from torchml.data.keys import AUTO, COLUMN, TERM_WEIGHTS, WEIGHTS, Keys, find_key, is_virial
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
    columns: Mapping[str, Any] = MappingProxyType({}),
) -> Configuration:
    """Make the configuration of N atoms from labels by their names in the file.

    Lengths and labels are in the units of `keys`. Where a format knows them, `columns` are the
    values of atoms: forces and targets may be among them, labels of the configuration may not.
    """
    where = f"{source}, configuration {index}"
    atoms = np.size(numbers)
    length = keys.length_factor
    cell = np.zeros((3, 3)) if cell is None else _numbers(cell, "cell", where) * length

    def label(
        name: str, wanted: str | None, size: int, labels: Mapping[str, Any] = labels
    ) -> tuple[str, NDArray[np.float64]] | None:
        """Key and flat values of a label, None where it is missing; sizes are checked later."""
        key = find_key(wanted, name, labels, where)
        if key is None or labels[key] is None:
            return None
        if keys.allow_missing and isinstance(labels[key], str) and labels[key] == "":
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
    forces = columns and label("forces", keys.forces, 3 * atoms, columns)
    forces = forces or label("forces", keys.forces, 3 * atoms)
    stress = label("stress", keys.stress, 0)
    group = find_key(keys.group, "group", labels, where)
    group = None if group is None or labels[group] is None else str(labels[group])
    return Configuration(
        numbers=numbers,
        positions=_numbers(positions, "positions", where) * length,
        cell=cell,
        pbc=pbc,
        energy=None if energy is None else energy[1].item() * keys.energy_factor,
        forces=None if forces is None else forces[1].reshape(atoms, 3) * keys.force_factor,
        stress=None if stress is None else _stress(*stress, cell, pbc, keys, where),
        fixed=fixed,
        tags=tags,
        targets=_targets(labels, columns, keys, where),
        weights=_weights(labels, keys, stress[0] if stress else "", where),
        source=source,
        index=index,
        group=group or None,
        **read_extras(labels, columns, atoms, keys, where),
    )


def _targets(
    labels: Mapping[str, Any], columns: Mapping[str, Any], keys: Keys, where: str
) -> dict[str, Any]:
    targets = {}
    for name in keys.targets:
        values = [part[name] for part in (labels, columns) if part.get(name) is not None]
        if len(values) > 1:
            raise DataError(
                f"{where} has '{name}' of the configuration and of its atoms, expected one of them"
            )
        if values:
            targets[name] = values[0]
    return targets


def check_named_keys(keys: Keys, names: Mapping[str, str], where: str) -> None:
    """Raise DataError if a label that the keys name is not in a file, or is one of atoms there."""
    named = {"energy": keys.energy, "forces": keys.forces, "stress": keys.stress}
    named |= {"weight": keys.weight, "group": keys.group}
    wanted = {f"keys.{what}": key for what, key in named.items() if key not in (None, AUTO)}
    wanted |= {f"keys.targets[{i}]": key for i, key in enumerate(keys.targets)}
    for what, key in wanted.items():
        if key not in names:
            there = ", ".join(f"'{name}'" for name in sorted(names)) or "no labels"
            raise DataError(f"{where} has no '{key}' ({what}), it has {there}")
        if names[key] == COLUMN and not what.startswith(("keys.forces", "keys.targets")):
            raise DataError(
                f"{where}: '{key}' ({what}) has a value for each atom, expected one of the "
                "configuration"
            )


def _numbers(value: Any, name: str, where: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(value)
        if array.dtype == np.bool_:
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{where}: {name} is {value!r:.60}, expected numbers") from None


def _stress(
    key: str,
    value: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: Any,
    keys: Keys,
    where: str,
) -> NDArray[np.float64]:
    """Six components in eV/Å³, from six or from a matrix; virials are -stress times volume.

    Where a slab or wire has no volume, virials are divided by its area or length.
    """
    if value.size == 9:
        value = to_voigt(value.reshape(3, 3))
    if value.size != 6:
        raise DataError(f"{where}: {key} holds {value.size} numbers, expected 6 or 9")
    value = value.reshape(6)
    if not is_virial(key):
        return value * keys.stress_factor
    size = extent(cell, np.broadcast_to(pbc, 3))
    if size is None:
        raise DataError(
            f"{where}: {key} cannot be turned into a stress without a cell, expected a cell, or "
            "keys.stress: null"
        )
    return np.asarray(-value * keys.energy_factor / size)


def _weights(labels: Mapping[str, Any], keys: Keys, stress: str, where: str) -> Weights:
    """The weights of a configuration, whose stress has this name in the file."""

    def number(name: str | None) -> float | None:
        value = labels.get(name) if name else None
        if value is None:
            return None
        weight = _numbers(value, str(name), where)
        if weight.size != 1:
            raise DataError(f"{where}: {name} holds {weight.size} numbers, expected one weight")
        return float(weight.item())

    # Most files have none, and to look for each name takes longer than to find that out.
    there = [name for name in labels if name == keys.weight or name.lower() in WEIGHTS]
    if not there:
        return _NO_WEIGHTS
    terms = {role: number(find_key(AUTO, role, there, where)) for role in TERM_WEIGHTS}
    virial, plain = terms.pop("virial_weight"), terms.pop("stress_weight")
    first, other = (virial, plain) if is_virial(stress) else (plain, virial)
    terms["stress_weight"] = other if first is None else first
    whole = number(find_key(keys.weight, "weight", there, where))
    try:
        return Weights(
            *((1.0 if whole is None else whole) * (1.0 if w is None else w) for w in terms.values())
        )
    except TorchMLError as error:
        raise DataError(f"{where}: {error}") from None


_NO_WEIGHTS = Weights()
