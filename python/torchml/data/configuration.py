"""A labelled structure: the type between files and graphs."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchml.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

    from torchml.data.keys import Keys

LAST_ELEMENT = 118


@dataclass(frozen=True)
class Weights:
    """Factors of the three terms that a configuration adds to a loss: finite, 0 or more."""

    energy: float = 1.0
    forces: float = 1.0
    stress: float = 1.0

    def __post_init__(self) -> None:
        for name in ("energy", "forces", "stress"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise DataError(
                    f"the {name} weight is {value}, expected a finite number of 0 or more"
                )
            object.__setattr__(self, name, float(value))


@dataclass(frozen=True, eq=False, repr=False)
class Configuration:
    """N atoms, their labels, and the file that they come from.

    numbers    [N], int64, atomic numbers
    positions  [N, 3], Å
    cell       [3, 3], Å, rows are lattice vectors; zeros where there are none
    pbc        [3], whether the structure is periodic along each lattice vector
    energy     eV, total
    forces     [N, 3], eV/Å
    stress     [6], eV/Å³, order xx yy zz yz xz xy, ASE's sign: dE/d(strain)/volume; of slabs and
               wires without a volume per area (eV/Å²) or length (eV/Å), see `extent`
    fixed      [N], atoms that do not move
    constraint name of another constraint on the atoms, which is not kept; relaxations refuse it
    tags       [N], int64, classes of atoms, chosen by the author (surface, adsorbate, ...)
    targets    further labels by name, float64 of any shape; NaN stands for a missing value
    weights    of the configuration in a loss
    source     the file that errors name, and index the place in it
    group      name of this kind of configuration, chosen by the author
    sid, fid   ids of the system and of the frame in a data set, texts; None where there are none
    relaxed_positions  [N, 3], Å, where a relaxation of this structure ended (OCP's pos_relaxed)
    relaxed_energy     eV, at the relaxed positions (OCP's y_relaxed)
    initial_energy     eV, at the start of the relaxation (OCP's y_init)
    info       what else data sets say of a structure: charge (e), spin (multiplicity), source (its
               name in the data set that it was taken from); numbers and texts

    Values are converted to arrays of these types.

    Raises:
        DataError: a shape is wrong, a value is not finite, there are no atoms, or a periodic cell
            has no volume.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 3)))
    pbc: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(3, dtype=bool))
    energy: float | None = None
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    fixed: NDArray[np.bool_] | None = None
    tags: NDArray[np.int64] | None = None
    targets: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    source: str = "memory"
    index: int = 0
    group: str | None = None
    sid: str | None = None
    fid: str | None = None
    relaxed_positions: NDArray[np.float64] | None = None
    relaxed_energy: float | None = None
    initial_energy: float | None = None
    info: dict[str, str | int | float] = field(default_factory=dict)
    constraint: str | None = None

    @property
    def name(self) -> str:
        """The name in errors: the file and the place in it, from 0."""
        return f"{self.source}, configuration {self.index}"

    @property
    def extent(self) -> float | None:
        """What stress is per: volume of the cell (Å³), area of a slab (Å²), length of a wire (Å).

        Slabs and wires whose cell has a volume use that of the cell; None without periodicity.
        """
        return extent(self.cell, self.pbc) if self.pbc.any() else None

    @property
    def has_volume(self) -> bool:
        """Whether the cell of a periodic structure has three vectors."""
        return bool(self.pbc.any()) and int(np.linalg.matrix_rank(self.cell)) == 3

    @property
    def volume(self) -> float | None:
        """Volume of the cell in Å³, None unless periodic along all three vectors."""
        return float(abs(np.linalg.det(self.cell))) if self.pbc.all() else None

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return f"<Configuration of {len(self)} atoms: {self.name}>"

    def __post_init__(self) -> None:
        atoms = np.size(self.numbers)
        if atoms == 0:
            raise DataError(f"{self.name} has no atoms, expected at least one")
        # The class is frozen for its users; these are the arrays it promises.
        put = object.__setattr__
        put(self, "numbers", self._array("numbers", self.numbers, np.int64, (atoms,)))
        put(self, "positions", self._array("positions", self.positions, np.float64, (atoms, 3)))
        put(self, "cell", self._array("cell", self.cell, np.float64, (3, 3)))
        put(self, "pbc", self._array("pbc", np.broadcast_to(self.pbc, 3), np.bool_, (3,)))
        for name in ("energy", "relaxed_energy", "initial_energy"):
            if (value := getattr(self, name)) is not None:
                put(self, name, float(self._array(name, value, np.float64, ())))
        for name in ("sid", "fid"):
            if (value := getattr(self, name)) is not None:
                put(self, name, str(value))
        optional: dict[str, tuple[Any, tuple[int, ...]]] = {
            "forces": (np.float64, (atoms, 3)),
            "stress": (np.float64, (6,)),
            "fixed": (np.bool_, (atoms,)),
            "tags": (np.int64, (atoms,)),
            "relaxed_positions": (np.float64, (atoms, 3)),
        }
        for name, (dtype, shape) in optional.items():
            value = getattr(self, name)
            if value is not None:
                put(self, name, self._array(name, value, dtype, shape))
        put(self, "targets", {k: self._target(k, v) for k, v in self.targets.items()})
        info = {k: v.item() if isinstance(v, np.generic) else v for k, v in self.info.items()}
        put(self, "info", info)
        self._check_numbers()
        self._check_cell()

    def _array(
        self, name: str, value: ArrayLike, dtype: Any, shape: tuple[int, ...]
    ) -> NDArray[Any]:
        """Convert a value to an array of this type and shape."""
        try:
            array = np.asarray(value)
            if dtype is np.int64 and array.dtype.kind in "fu" and not _are_int64(array):
                raise TypeError
            array = np.ascontiguousarray(array, dtype=dtype).reshape(array.shape)
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f"{self.name}: {name} cannot be read as {np.dtype(dtype).name} numbers"
            ) from None
        if array.shape != shape:
            raise DataError(
                f"{self.name}: {name} have the shape {list(array.shape)}, expected {list(shape)}"
            )
        if dtype is np.float64 and not np.isfinite(array).all():
            place = np.argwhere(~np.isfinite(array))[0].tolist()
            what = f"{name}[{', '.join(map(str, place))}]" if place else name
            raise DataError(f"{self.name}: {what} is {array[tuple(place)]}, expected finite values")
        return array

    def _target(self, name: str, value: ArrayLike) -> NDArray[np.float64]:
        try:
            return np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(f"{self.name}: the target '{name}' cannot be read as numbers") from None

    def _check_numbers(self) -> None:
        wrong = (self.numbers < 1) | (self.numbers > LAST_ELEMENT)
        if wrong.any():
            atom = int(np.argmax(wrong))
            raise DataError(
                f"{self.name}: atom {atom} has the atomic number {self.numbers[atom]}, "
                f"expected 1 to {LAST_ELEMENT}"
            )

    def _check_cell(self) -> None:
        vectors = self.cell[self.pbc]
        if len(vectors) == 0:
            return
        # Squared volume that unit vectors along them span; 1e-6 rad is flatter than any real cell.
        if _squared_volume(vectors) <= 1e-12 * float((vectors * vectors).sum(axis=1).prod()):
            raise DataError(
                f"{self.name}: the periodic cell vectors {vectors.tolist()} are zero or linearly "
                "dependent, expected vectors that span a volume"
            )

    def to_atoms(self) -> Atoms:
        """Return ASE's Atoms: labels in a SinglePointCalculator, targets in info or arrays."""
        atoms: Atoms = _conversion().to_atoms(self)
        return atoms

    @classmethod
    def from_atoms(
        cls, atoms: Atoms, keys: Keys | None = None, source: str = "memory", index: int = 0
    ) -> Configuration:
        """Make a configuration of ASE's Atoms.

        Args:
            atoms: its calculator, info and arrays hold the labels.
            keys: names and units of the labels; those of `Keys()` if omitted.
            source: file that errors name.
            index: place in that file.
        """
        configuration: Configuration = _conversion().from_atoms(atoms, keys, source, index)
        return configuration


def extent(cell: NDArray[np.float64], pbc: ArrayLike) -> float | None:
    """Return the volume that three cell vectors span, else the area or length of the periodic ones.

    Args:
        cell: [3, 3], Å, rows are lattice vectors.
        pbc: [3], whether the structure is periodic along each of them.

    Returns:
        Å³, Å² or Å; None where there is none of them.
    """
    if np.linalg.matrix_rank(cell) == 3:
        return float(abs(np.linalg.det(cell)))
    vectors = cell[np.asarray(pbc, dtype=bool)]
    if len(vectors) == 0:
        return None
    return float(np.sqrt(max(np.linalg.det(vectors @ vectors.T), 0.0))) or None


def _are_int64(values: NDArray[Any]) -> bool:
    """Whether all values are whole numbers within the range of int64."""
    return bool((np.isfinite(values) & (np.abs(values) < 2.0**63)).all()) and not (values % 1).any()


def _squared_volume(vectors: NDArray[np.float64]) -> float:
    """The square of the volume, area or length that one to three vectors span."""
    if len(vectors) < 3:
        return float(np.linalg.det(vectors @ vectors.T))
    # By hand: numpy takes ten times as long for a matrix of this size.
    (a, b, c), (d, e, f), (g, h, i) = vectors.tolist()
    volume: float = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return volume * volume


def _conversion() -> Any:
    """The module that converts to and from ASE; it is above this one, and imports ASE."""
    return import_module("torchml.data.atoms")
