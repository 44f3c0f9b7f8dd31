"""HDF5 in the layouts of the ANI data sets: a group per formula or size, its conformers stacked."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.formats.unpacking import most_unpacked
from torchml.data.keys import ALIASES, AUTO, EXTRAS, WEIGHTS, Keys
from torchml.data.labels import configuration_of
from torchml.data.progress import track
from torchml.data.sequences import LazyConfigurations
from torchml.errors import DataError, FileError, TorchMLError

_NUMBERS = ("atomic_numbers", "species", "numbers", "z")
_POSITIONS = ("coordinates", "positions", "pos", "coords")
_OTHERS = {"cell", "pbc", *WEIGHTS}

LARGE = 200_000  # conformers; as many take a minute to read, and half a gigabyte


def read_hdf5(path: Path, keys: Keys, names: dict[str, str]) -> Sequence[Configuration]:
    """Read all conformers of all groups of the file, in its order.

    A group holds coordinates [conformers, atoms, 3], atomic_numbers (or species) [atoms] or
    [conformers, atoms], labels [conformers, ...], and perhaps cell and pbc. A group of one
    conformer may have coordinates [atoms, 3] and labels without an axis of conformers. Labels may
    be named "method.energy"; if the file has several methods, keys must name one.

    The source of a configuration is file:group, and its index that of the conformer in the group.
    More than 200,000 conformers are read on demand.
    """
    conformers = Hdf5Configurations(path, keys, names)
    return conformers if len(conformers) > LARGE else conformers.read_all()


@dataclass(frozen=True)
class _Group:
    """A group: its name, the number of conformers, its labels, and their names."""

    name: str
    count: int
    keys: Keys
    datasets: tuple[str, ...]


class Hdf5Configurations(LazyConfigurations):
    """The conformers of a file, each read on demand."""

    def __init__(self, path: Path, keys: Keys, names: dict[str, str]) -> None:
        self.path = path
        self._file: Any = None
        self._process = -1
        with self._errors(str(path)):
            self._groups = []
            left = most_unpacked(path.stat().st_size)
            for group in _groups(self._opened()):
                left -= _size(group)
                if left < 0:
                    raise DataError(
                        f"{self._where(group.name)} announces far more numbers than the file's "
                        f"{path.stat().st_size} bytes can hold, expected those of its conformers"
                    )
                self._groups.append(_describe(group, keys, self._where(group.name), names))
        self._ends = list(accumulate(group.count for group in self._groups))
        if not self._groups:
            raise DataError(
                f"{path} holds no conformers, expected groups with 'coordinates' and "
                "'atomic_numbers'"
            )

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, index: int) -> Configuration:
        place = bisect_right(self._ends, index)
        first = index - (self._ends[place - 1] if place else 0)
        return self._conformers(self._groups[place], first, first + 1)[0]

    def read_all(self) -> list[Configuration]:
        """Read all as a list: faster than one after the other."""
        groups = track(self._groups, f"reading {self.path.name}", len(self._groups))
        return [c for group in groups for c in self._conformers(group, 0, group.count)]

    def _conformers(self, group: _Group, first: int, last: int) -> list[Configuration]:
        where = self._where(group.name)
        with self._errors(where):
            opened = self._opened()[group.name]
            datasets = {name: opened[name] for name in group.datasets}
            return _conformers(datasets, group.count, group.keys, where, first, last)

    def _where(self, name: str) -> str:
        return f"{self.path}:{name.strip('/') or '/'}"

    def _opened(self) -> Any:
        """The file as this process has opened it."""
        import h5py

        if self._process != os.getpid():
            try:
                self._file = h5py.File(self.path, "r")
            except OSError as error:
                raise FileError(f"{self.path} cannot be read as HDF5: {error}") from None
            self._process = os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_process": -1}

    @contextmanager
    def _errors(self, where: str) -> Iterator[None]:
        """The HDF5 library raises RuntimeError for damaged files."""
        try:
            yield
        except TorchMLError:
            raise
        except Exception as error:
            raise FileError(f"{where} cannot be read: {error}") from None


def _groups(group: Any) -> Any:
    """The groups with coordinates, at any depth."""
    import h5py

    if any(name in group for name in _POSITIONS):
        yield group
    # A list: a walk over the view itself holds the lock of h5py as long as it is suspended, and one
    # that was given up holds it until it is collected, in whatever thread that happens.
    for item in list(group.values()):
        if isinstance(item, h5py.Group):
            yield from _groups(item)


def _size(group: Any) -> int:
    """Bytes of the datasets in a group when they are read."""
    import h5py

    datasets = [item for item in list(group.values()) if isinstance(item, h5py.Dataset)]
    return sum(item.nbytes for item in datasets if item.shape is not None)


def _describe(group: Any, keys: Keys, where: str, names: dict[str, str]) -> _Group:
    """Describe the conformers of a group; its datasets are added to names."""
    import h5py

    shapes = {name: item.shape for name, item in group.items() if isinstance(item, h5py.Dataset)}
    keys = _resolve(keys, shapes, where)
    numbers, positions = _first(shapes, _NUMBERS, where), _first(shapes, _POSITIONS, where)
    names |= dict.fromkeys(shapes, "")
    names |= dict.fromkeys((numbers, positions, *({"cell", "pbc"} & set(shapes))), "structure")
    for label in ("energy", "forces", "stress"):
        if (name := getattr(keys, label)) in shapes:
            names[name] = label
    wanted = {keys.energy, keys.forces, keys.stress, keys.weight, keys.group, *keys.targets}
    read = tuple(name for name in shapes if name in wanted | _OTHERS)
    shape = shapes[positions]
    if len(shape) not in (2, 3) or shape[-1] != 3 or 0 in shape:
        raise DataError(
            f"{where}: the coordinates have the shape {list(shape)}, expected "
            "[conformers, atoms, 3], and none of them 0"
        )
    count, atoms = shape[:2] if len(shape) == 3 else (1, shape[0])
    if shapes[numbers] not in ((atoms,), (count, atoms)):
        raise DataError(
            f"{where}: the atomic numbers have the shape {list(shapes[numbers])}, expected "
            f"[{atoms}] or [{count}, {atoms}]"
        )
    extras = (name for name in EXTRAS if name in shapes and name not in read)
    read += tuple(name for name in extras if count == 1 or shapes[name][:1] == (count,))
    for name in set(read) - {"cell", "pbc"}:
        if count > 1 and (shapes[name] or (1,))[0] != count:
            raise DataError(
                f"{where}: {name} has the shape {list(shapes[name])} for {count} conformers, "
                "expected one value for each"
            )
    return _Group(group.name, count, keys, (numbers, positions, *read))


def _resolve(keys: Keys, datasets: Collection[str], where: str) -> Keys:
    """Keys with the names of this group in place of "auto": wb97x_dz.energy is an energy too."""
    named: dict[str, Any] = {}
    for label in ("energy", "forces", "stress"):
        if getattr(keys, label) != AUTO:
            continue
        usual = {*ALIASES[label], *(("energies",) if label == "energy" else ())}
        several = [name for name in datasets if name.rpartition(".")[2].lower() in usual]
        if len(several) > 1:
            raise DataError(
                f"{where} has {' and '.join(map(repr, several))}, expected one name for the "
                f"{label}: say which by keys.{label}"
            )
        named[label] = several[0] if several else None
    return replace(keys, **named)


def _conformers(
    datasets: Mapping[str, Any], count: int, keys: Keys, where: str, first: int, last: int
) -> list[Configuration]:
    """Read the conformers from first to last."""
    (_, species), (_, coordinates), *others = datasets.items()
    positions = coordinates[first:last] if coordinates.ndim == 3 else coordinates[...][None]
    same = species.ndim == 1
    numbers = _atomic_numbers(species[...] if same else species[first:last], where)
    labels: dict[str, NDArray[Any]] = {}
    for name, dataset in others:
        if name in ("cell", "pbc") and dataset.ndim < (3 if name == "cell" else 2):
            values = dataset[...]  # one for all
            labels[name] = np.broadcast_to(values, (last - first, *values.shape))
        else:
            # A single conformer has its labels with or without an axis of conformers.
            stacked = dataset.ndim and (count > 1 or dataset.shape[0] == 1)
            labels[name] = dataset[first:last] if stacked else dataset[...][None]
    configurations = []
    for row in range(last - first):
        own: dict[str, Any] = {name: _plain(values[row]) for name, values in labels.items()}
        cell = own.pop("cell", None)
        pbc = own.pop("pbc", cell is not None)
        configurations.append(
            configuration_of(
                numbers if same else numbers[row],
                positions[row],
                cell,
                pbc,
                own,
                keys,
                where,
                first + row,
            )
        )
    return configurations


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _first(datasets: Collection[str], names: tuple[str, ...], where: str) -> str:
    for name in names:
        if name in datasets:
            return name
    raise DataError(f"{where} has no '{names[0]}', it has {', '.join(sorted(datasets))}")


def _atomic_numbers(species: NDArray[Any], where: str) -> NDArray[Any]:
    """From numbers, or from chemical symbols as text or bytes."""
    if np.issubdtype(species.dtype, np.number):
        return species
    symbols = [str(_plain(symbol)) for symbol in species.ravel()]
    unknown = sorted(set(symbols) - set(atomic_numbers))
    if unknown:
        raise DataError(f"{where}: '{unknown[0]}' is not an element of the periodic table")
    return np.array([atomic_numbers[symbol] for symbol in symbols]).reshape(species.shape)
