"""From a periodic structure to the particles of a simulator: atoms, ghosts and neighbour lists.

KIM-API shows a model neither box nor periodicity, only particles: the contributing ones, whose
energies are requested, and the ghosts around them within the influence distance. This module builds
these from positions, cell and periodicity, so that Python evaluates what LAMMPS evaluates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from torchml.errors import DataError


@dataclass(frozen=True)
class ParticleSystem:
    """N particles, the contributing ones first and in the order of the input.

    Attributes:
        coordinates: [N, 3], Å.
        contributing: [N], int32, 1 for contributing particles, 0 for ghosts.
        image_of: [N], int64, the atom of which a particle is an image; its own index for an atom.
        neighbor_offsets: [N + 1], int64, particle i has neighbors[offsets[i]:offsets[i + 1]].
        neighbors: int32, full lists: every particle within the cutoff.
        shifts: [N, 3], lattice vectors, whole numbers of each, from an atom as it was given to
            this particle.
    """

    coordinates: NDArray[np.float64]
    contributing: NDArray[np.int32]
    image_of: NDArray[np.int64]
    neighbor_offsets: NDArray[np.int64]
    neighbors: NDArray[np.int32]
    shifts: NDArray[np.float64]

    @property
    def atoms(self) -> int:
        """Number of contributing particles."""
        return int(self.contributing.sum())

    def fold(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add the values of ghosts to those of their atoms: [N, ...] -> [atoms, ...]."""
        folded = values[: self.atoms].copy()
        np.add.at(folded, self.image_of[self.atoms :], values[self.atoms :])
        return folded


def periodic_particles(
    positions: ArrayLike,
    cell: ArrayLike,
    pbc: ArrayLike,
    cutoff: float,
    influence_distance: float,
) -> ParticleSystem:
    """Wrap the atoms into the cell, surround them by their images, and list their neighbours.

    Args:
        positions: [atoms, 3], Å.
        cell: [3, 3], rows are lattice vectors, Å.
        pbc: one flag per lattice vector, or one for all.
        cutoff: radius of the neighbour lists, Å.
        influence_distance: ghosts are the images within this distance of any atom, Å. If it
            exceeds the cutoff (message passing), ghosts have neighbour lists too.

    Raises:
        DataError: positions or cell are not finite, or the cell has no volume.
    """
    given: NDArray[np.float64] = np.array(positions, dtype=np.float64).reshape(-1, 3)
    periodic = np.broadcast_to(np.asarray(pbc, dtype=bool), 3)
    if not np.isfinite(given).all():
        atom = int(np.argmin(np.isfinite(given).all(axis=1)))
        raise DataError(f"atom {atom} is at {given[atom]}, expected finite coordinates")
    basis = _complete_basis(np.asarray(cell, dtype=np.float64).reshape(3, 3), periodic)

    wraps = -np.floor(given @ np.linalg.inv(basis)) * periodic
    wrapped = given + wraps @ basis  # atoms inside the cell keep their bits
    ghosts, owners, shifts = _images(wrapped, basis, periodic, influence_distance)
    atoms = len(wrapped)
    coordinates = np.concatenate([wrapped, ghosts])
    contributing = np.zeros(len(coordinates), dtype=np.int32)
    contributing[:atoms] = 1
    listed = len(coordinates) if influence_distance > cutoff else atoms
    offsets, neighbors = _neighbor_lists(coordinates, listed, cutoff)
    return ParticleSystem(
        coordinates=coordinates,
        contributing=contributing,
        image_of=np.concatenate([np.arange(atoms), owners]),
        neighbor_offsets=offsets,
        neighbors=neighbors,
        shifts=np.concatenate([wraps, shifts + wraps[owners]]),
    )


def _complete_basis(cell: NDArray[np.float64], periodic: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace the non-periodic vectors of a cell by unit vectors normal to the periodic ones.

    They have no meaning, and may be zero.
    """
    repeated = cell[periodic]
    if not np.isfinite(repeated).all():
        raise DataError(f"the periodic cell holds {repeated.tolist()}, expected finite vectors")
    lengths = np.linalg.norm(repeated, axis=1)
    directions = repeated / np.where(lengths > 0, lengths, 1.0)[:, None]
    # The volume spanned by unit vectors; 1e-6 rad is far flatter than any cell in use.
    if len(repeated) and np.linalg.svd(directions, compute_uv=False).min() < 1e-6:
        raise DataError(
            f"the periodic cell vectors {repeated.tolist()} are zero or linearly dependent, "
            "expected vectors that span a volume"
        )
    basis = cell.copy()
    # The last rows of Vt in the SVD are an orthonormal complement of the periodic vectors.
    complement = np.linalg.svd(directions)[2][len(repeated) :] if len(repeated) else np.eye(3)
    basis[~periodic] = complement
    return basis


def _images(
    positions: NDArray[np.float64],
    basis: NDArray[np.float64],
    periodic: NDArray[np.bool_],
    distance: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return coordinates, owners and shifts of all images within `distance` of any atom."""
    if not periodic.any() or len(positions) == 0:
        return np.empty((0, 3)), np.empty(0, dtype=np.int64), np.empty((0, 3))
    inverse = np.linalg.inv(basis)
    # A sphere of this radius reaches as far in fractional coordinates: columns of the inverse are
    # the reciprocal vectors, their lengths the inverse distances of lattice planes.
    reach = distance * np.linalg.norm(inverse, axis=0)
    fractional = positions @ inverse
    low, high = fractional.min(axis=0) - reach, fractional.max(axis=0) + reach
    spans = [
        np.arange(np.floor(a) - 1, np.ceil(b) + 1) if repeats else np.zeros(1)
        for a, b, repeats in zip(low, high, periodic, strict=True)
    ]
    shifts = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
    shifts = shifts[(shifts != 0).any(axis=1)]

    owners, coordinates, lattice = [], [], []
    block = 1 + 1_000_000 // len(positions)  # bounds the memory, and keeps small cells in one block
    for start in range(0, len(shifts), block):
        shifts_of_block = shifts[start : start + block]
        images = fractional + shifts_of_block[:, None]
        shift, atom = np.nonzero(((images >= low) & (images <= high)).all(axis=2))
        owners.append(atom)
        lattice.append(shifts_of_block[shift])
        coordinates.append(positions[atom] + lattice[-1] @ basis)
    owner, candidates = np.concatenate(owners), np.concatenate(coordinates)
    nearest, _ = cKDTree(positions).query(candidates, distance_upper_bound=distance)
    near = np.isfinite(nearest)
    return candidates[near], owner[near], np.concatenate(lattice)[near]


def _neighbor_lists(
    coordinates: NDArray[np.float64], listed: int, cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return full lists of the first `listed` particles; the other rows are empty."""
    # A tree: cell grids grow with the empty space between far particles.
    # Slightly more than the cutoff, so that the core decides about pairs at the cutoff.
    pairs = cKDTree(coordinates).query_pairs(cutoff * (1 + 1e-12), output_type="ndarray")
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[pairs[:, 0] < listed]
    first, second = pairs[np.lexsort(pairs.T[::-1])].T
    offsets = np.zeros(len(coordinates) + 1, dtype=np.int64)
    np.cumsum(np.bincount(first, minlength=len(coordinates)), out=offsets[1:])
    return offsets, second.astype(np.int32)
