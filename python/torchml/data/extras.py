"""What data sets hold besides labels: ids, charge, spin, origin, and the end of a relaxation.

The names are those of the Open Catalyst Project and of fairchem.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.keys import EXTRAS, RELAXED_POSITIONS, Keys
from torchml.errors import DataError

IDS = ("sid", "fid")
INFO = ("charge", "spin", "source")
# Fields of a configuration by their names in files.
_ENERGIES = {name: EXTRAS[name] for name in ("y_relaxed", "y_init")}
TEXTS = {*IDS, "source"}  # "007" and "T" are ids like others


def read_extras(
    labels: Mapping[str, Any],
    columns: Mapping[str, Any],
    atoms: int,
    keys: Keys,
    where: str,
) -> dict[str, Any]:
    """Return the arguments of a Configuration that values of a file mean.

    Args:
        labels: values of the structure by their names in the file.
        columns: values of its atoms.
        atoms: number of them.
        keys: the units of the file, and its targets: charge, spin and source may be some.
        where: configuration that errors name.

    Raises:
        DataError: an energy or the relaxed positions are no numbers, or not as many as expected;
            charge or spin is infinite.
    """
    if RELAXED_POSITIONS not in columns and EXTRAS.keys().isdisjoint(labels):
        return {}
    ids = {name: _scalar(labels.get(name)) for name in IDS}
    info = {name: _scalar(labels.get(name)) for name in INFO if name not in keys.targets}
    for name, value in info.items():
        if isinstance(value, float) and np.isinf(value):
            raise DataError(f"{where}: {name} is {value}, expected a finite number")
    found: dict[str, Any] = {name: _id(value) for name, value in ids.items() if value is not None}
    found["info"] = {name: value for name, value in info.items() if value is not None}
    for name, field in _ENERGIES.items():
        energy = _numbers(labels.get(name), name, 1, "", where)
        found[field] = None if energy is None else energy.item() * keys.energy_factor
    positions = columns.get(RELAXED_POSITIONS, labels.get(RELAXED_POSITIONS))
    positions = _numbers(positions, RELAXED_POSITIONS, 3 * atoms, f" for {atoms} atoms", where)
    if positions is not None:
        found["relaxed_positions"] = positions.reshape(atoms, 3) * keys.length_factor
    return found


def extras_of(c: Configuration, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the extras of a configuration that it has, by their names in files.

    Args:
        c: the configuration.
        without: names to leave out, such as those of its targets.
    """
    values: dict[str, Any] = {name: getattr(c, name) for name in IDS}
    values |= {name: getattr(c, field) for name, field in _ENERGIES.items()}
    values |= c.info
    values[RELAXED_POSITIONS] = c.relaxed_positions
    return {k: value for k, value in values.items() if value is not None and k not in without}


def _scalar(value: Any) -> str | int | float | None:
    """One text or number; None for anything else, an empty text, and NaN."""
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str | int | float) or value == "":
        return None
    return None if isinstance(value, float) and np.isnan(value) else value


def _id(value: str | int | float) -> str:
    """The text of an id; tensors of floats hold whole numbers as 12.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _numbers(value: Any, name: str, size: int, of: str, where: str) -> NDArray[np.float64] | None:
    """So many numbers; None where they are missing, which NaN means too."""
    if value is None or (isinstance(value, str) and not value):
        return None
    try:
        array = np.asarray(value).astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{where}: {name} is {value!r:.60}, expected numbers") from None
    if array.size != size:
        raise DataError(f"{where}: {name} holds {array.size} numbers{of}, expected {size}")
    return None if np.isnan(array).any() else array
