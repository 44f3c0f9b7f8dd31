"""Atoms and the vectors to their neighbours, the input of descriptors.

With vectors instead of positions, cells smaller than the cutoff, where an atom is its own
neighbour, and batches of structures need no images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchml.descriptors.parameters import Parameters
from torchml.errors import TorchMLError

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, eq=False)
class Environments:
    """C centres with E edges to their neighbours, in compressed rows.

    Centres and neighbours are numbers of atoms; an image has the number of its original.

    Attributes:
        centers: int64[C], the atom of each centre.
        center_species: int32[C], its species code.
        offsets: int64[C + 1], centre c has the edges offsets[c] to offsets[c + 1].
        neighbors: int64[E], the atom, or the atom of which the neighbour is an image.
        neighbor_species: int32[E], its species code.
        vectors: float64[E, 3], neighbour minus centre, Å.
        shifts: float64[E, 3], lattice vectors: `vectors` minus the difference of positions, Å.
        atoms: number of atoms.
    """

    centers: NDArray[np.int64]
    center_species: NDArray[np.int32]
    offsets: NDArray[np.int64]
    neighbors: NDArray[np.int64]
    neighbor_species: NDArray[np.int32]
    vectors: NDArray[np.float64]
    shifts: NDArray[np.float64]
    atoms: int

    @property
    def edge_rows(self) -> NDArray[np.int64]:
        """int64[E], the centre of each edge, as its row."""
        return np.repeat(np.arange(len(self.centers)), np.diff(self.offsets))

    @property
    def edge_centers(self) -> NDArray[np.int64]:
        """int64[E], the centre of each edge, as an atom."""
        return np.repeat(self.centers, np.diff(self.offsets))

    @property
    def arguments(self) -> tuple[Any, Any, Any, Any]:
        """Arguments of the functions of edges of the C++ library."""
        return self.center_species, self.offsets, self.neighbor_species, self.vectors

    @classmethod
    def from_lists(
        cls,
        positions: ArrayLike,
        species: ArrayLike,
        centers: ArrayLike,
        offsets: ArrayLike,
        neighbors: ArrayLike,
    ) -> Environments:
        """Make environments from the user's neighbour lists, with all images explicit as atoms.

        Args:
            positions: float[N, 3] (Å).
            species: codes, integer[N].
            centers: atoms, integer[C].
            offsets: integer[C + 1]; centre c has neighbors[offsets[c]:offsets[c + 1]].
            neighbors: atoms, integer[E].

        Raises:
            TorchMLError: lengths do not match, or a number is out of range.
        """
        places = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
        codes = np.asarray(species, dtype=np.int32)
        rows = np.asarray(centers, dtype=np.int64)
        ends = np.asarray(offsets, dtype=np.int64)
        others = np.asarray(neighbors, dtype=np.int64)
        if len(codes) != len(places):
            raise TorchMLError(f"{len(codes)} species are given for {len(places)} positions")
        for name, atoms in (("centers", rows), ("neighbors", others)):
            if len(atoms) and (atoms.min() < 0 or atoms.max() >= len(places)):
                raise TorchMLError(
                    f"{name} are {atoms.min()} to {atoms.max()}, expected 0 to {len(places) - 1}"
                )
        if len(ends) != len(rows) + 1 or (np.diff(ends, prepend=0) < 0).any():
            raise TorchMLError(f"offsets are {ends}, expected {len(rows) + 1} ascending numbers")
        if ends[0] != 0 or ends[-1] != len(others):
            raise TorchMLError(
                f"offsets are from {ends[0]} to {ends[-1]}, expected 0 to {len(others)}"
            )
        owners = np.repeat(rows, np.diff(ends))
        vectors = places[others] - places[owners]
        shifts = np.zeros_like(vectors)
        return cls(rows, codes[rows], ends, others, codes[others], vectors, shifts, len(places))

    @classmethod
    def of_atoms(
        cls, atoms: Atoms, parameters: Parameters, indices: ArrayLike | None = None
    ) -> Environments:
        """Find the neighbours of the atoms `indices` (None: of all), periodic images included."""
        from torchml.neighbors import periodic_particles

        if not hasattr(atoms, "get_chemical_symbols"):
            raise TorchMLError(
                f"a structure is a {type(atoms).__name__}, expected Atoms of ASE or Environments, "
                "or a list of them"
            )
        cutoff = parameters.largest_cutoff
        codes = _codes(atoms, parameters.species)
        particles = periodic_particles(
            atoms.positions, atoms.cell.array, atoms.pbc, cutoff, influence_distance=cutoff
        )
        count = len(atoms)
        rows = np.arange(count) if indices is None else _checked(indices, count)
        begin, end = particles.neighbor_offsets[rows], particles.neighbor_offsets[rows + 1]
        offsets = np.concatenate([[0], np.cumsum(end - begin)]).astype(np.int64)
        entries = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], end - begin)
        found = particles.neighbors[entries]
        neighbors = particles.image_of[found]
        owners = np.repeat(rows, end - begin)
        vectors = particles.coordinates[found] - particles.coordinates[owners]
        return cls(
            centers=rows,
            center_species=codes[rows],
            offsets=offsets,
            neighbors=neighbors,
            neighbor_species=codes[neighbors],
            vectors=vectors,
            shifts=vectors - (atoms.positions[neighbors] - atoms.positions[owners]),
            atoms=count,
        )

    @classmethod
    def joined(cls, parts: Sequence[Environments]) -> Environments:
        """Join structures; atoms are numbered consecutively over the structures."""
        first_atom = np.cumsum([0, *(part.atoms for part in parts)])
        first_edge = np.cumsum([0, *(len(part.neighbors) for part in parts)])
        integers, vectors = np.zeros(0, dtype=np.int64), np.zeros((0, 3))
        codes = np.zeros(0, dtype=np.int32)
        centers, offsets, neighbors = [integers], [np.zeros(1, dtype=np.int64)], [integers]
        for part, atom, edge in zip(parts, first_atom, first_edge, strict=False):
            centers.append(part.centers + atom)
            offsets.append(part.offsets[1:] + edge)
            neighbors.append(part.neighbors + atom)
        return cls(
            centers=np.concatenate(centers),
            center_species=np.concatenate([codes, *(part.center_species for part in parts)]),
            offsets=np.concatenate(offsets),
            neighbors=np.concatenate(neighbors),
            neighbor_species=np.concatenate([codes, *(part.neighbor_species for part in parts)]),
            vectors=np.concatenate([vectors, *(part.vectors for part in parts)]),
            shifts=np.concatenate([vectors, *(part.shifts for part in parts)]),
            atoms=int(first_atom[-1]),
        )


def _codes(atoms: Atoms, species: Sequence[str]) -> NDArray[np.int32]:
    known = {symbol: code for code, symbol in enumerate(species)}
    symbols = atoms.get_chemical_symbols()
    for atom, symbol in enumerate(symbols):
        if symbol not in known:
            raise TorchMLError(
                f"atom {atom} is {symbol}, but the descriptor knows only {' '.join(species)}"
            )
    return np.array([known[symbol] for symbol in symbols], dtype=np.int32)


def _checked(indices: ArrayLike, count: int) -> NDArray[np.int64]:
    rows = np.atleast_1d(np.asarray(indices))
    if rows.size == 0:
        rows = rows.astype(np.int64)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise TorchMLError(f"indices are {indices!r}, expected a list of atoms")
    outside = (rows < -count) | (rows >= count)
    if outside.any():
        raise TorchMLError(
            f"indices name atom {rows[outside][0]}, expected 0 to {count - 1} (or from the end, -1)"
        )
    return np.where(rows < 0, rows + count, rows).astype(np.int64)
