"""HDF5 in the layouts of the ANI data sets: a group per formula or size, its conformers stacked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.keys import ALIASES, AUTO, Keys
from torchml.data.labels import check_named_keys, configuration_of
from torchml.data.progress import Progress
from torchml.errors import TorchMLError

_NUMBERS = ("atomic_numbers", "species", "numbers", "z")
_POSITIONS = ("coordinates", "positions", "pos", "coords")


def read_hdf5(path: Path, keys: Keys) -> list[Configuration]:
    """All conformers of all groups of the file, in its order.

    A group holds coordinates [conformers, atoms, 3], atomic_numbers (or species) [atoms] or
    [conformers, atoms], labels [conformers, ...], and perhaps cell and pbc. Labels may be called
    "method.energy"; where several methods are in the file, keys must say which one.

    The source of a configuration is file:group, and its index that of the conformer in the group.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise TorchMLError(f"{path} cannot be read as HDF5: {error}") from None
    found: list[Configuration] = []
    names: dict[str, Any] = {}
    where = str(path)
    with file, Progress(f"reading {path.name}", total=None) as bar:
        try:
            for group in _groups(file):
                where = f"{path}:{group.name.strip('/') or '/'}"
                datasets = {
                    name: item for name, item in group.items() if isinstance(item, h5py.Dataset)
                }
                names |= dict.fromkeys(datasets)
                found += _conformers(datasets, _resolve(keys, datasets, where), where)
                bar.advance()
        except TorchMLError:
            raise
        # In damaged files the HDF5 library runs into anything, and says so by RuntimeError.
        except Exception as error:
            raise TorchMLError(f"{where} cannot be read: {error}") from None
    if not found:
        raise TorchMLError(
            f"{path} holds no conformers, expected groups with 'coordinates' and 'atomic_numbers'"
        )
    check_named_keys(keys, names, str(path))
    return found


def _groups(group: Any) -> Any:
    """Those with coordinates, at any depth."""
    import h5py

    if any(name in group for name in _POSITIONS):
        yield group
    for item in group.values():
        if isinstance(item, h5py.Group):
            yield from _groups(item)


def _resolve(keys: Keys, datasets: Mapping[str, Any], where: str) -> Keys:
    """Keys with the names of this group in place of "auto": wb97x_dz.energy is an energy too."""
    named: dict[str, Any] = {}
    for label in ("energy", "forces", "stress"):
        if getattr(keys, label) != AUTO:
            continue
        usual = {*ALIASES[label], *(("energies",) if label == "energy" else ())}
        several = [name for name in datasets if name.rpartition(".")[2].lower() in usual]
        if len(several) > 1:
            raise TorchMLError(
                f"{where} has {' and '.join(map(repr, several))}, expected one name for the "
                f"{label}: say which by keys.{label}"
            )
        named[label] = several[0] if several else None
    return replace(keys, **named)


def _conformers(datasets: Mapping[str, Any], keys: Keys, where: str) -> list[Configuration]:
    positions = np.asarray(_dataset(datasets, _POSITIONS, where)[...], dtype=np.float64)
    if positions.ndim == 2:  # a single conformer, without the dimension for more
        positions = positions[None]
    if positions.ndim != 3 or positions.shape[2] != 3:
        raise TorchMLError(
            f"{where}: the coordinates have the shape {list(positions.shape)}, expected "
            "[conformers, atoms, 3]"
        )
    count, atoms = positions.shape[:2]
    numbers = _atomic_numbers(_dataset(datasets, _NUMBERS, where)[...], where)
    if numbers.shape not in ((atoms,), (count, atoms)):
        raise TorchMLError(
            f"{where}: the atomic numbers have the shape {list(numbers.shape)}, expected [{atoms}] "
            f"or [{count}, {atoms}]"
        )
    wanted = {keys.energy, keys.forces, keys.stress, keys.weight, keys.group, *keys.targets}
    wanted |= {"cell", "pbc", "energy_weight", "forces_weight", "stress_weight"}
    labels: dict[str, NDArray[Any]] = {}
    for name in [name for name in datasets if name in wanted]:
        values = datasets[name][...]
        if len(np.atleast_1d(values)) != count:
            if name in ("cell", "pbc"):
                values = np.broadcast_to(values, (count, *np.shape(values)))
            else:
                raise TorchMLError(
                    f"{where}: {name} has the shape {list(np.shape(values))} for {count} "
                    "conformers, expected one value for each"
                )
        labels[name] = np.atleast_1d(values)
    found = []
    for index in range(count):
        own: dict[str, Any] = {name: _plain(values[index]) for name, values in labels.items()}
        cell = own.pop("cell", None)
        pbc = own.pop("pbc", cell is not None)
        found.append(
            configuration_of(
                numbers if numbers.ndim == 1 else numbers[index],
                positions[index],
                cell,
                pbc,
                own,
                keys,
                where,
                index,
            )
        )
    return found


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _dataset(datasets: Mapping[str, Any], names: tuple[str, ...], where: str) -> Any:
    for name in names:
        if name in datasets:
            return datasets[name]
    raise TorchMLError(f"{where} has no '{names[0]}', it has {', '.join(sorted(datasets))}")


def _atomic_numbers(species: NDArray[Any], where: str) -> NDArray[np.int64]:
    """From numbers, or from chemical symbols as text or bytes."""
    if np.issubdtype(species.dtype, np.number):
        return species.astype(np.int64)
    symbols = [str(_plain(symbol)) for symbol in species.ravel()]
    unknown = sorted(set(symbols) - set(atomic_numbers))
    if unknown:
        raise TorchMLError(f"{where}: '{unknown[0]}' is not an element of the periodic table")
    return np.array([atomic_numbers[symbol] for symbol in symbols]).reshape(species.shape)
