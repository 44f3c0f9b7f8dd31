"""The staged graph of a structure, as a `graph` model receives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from torchml import _core
from torchml.errors import TorchMLError
from torchml.neighbors import periodic_particles


@dataclass(frozen=True)
class StagedGraph:
    """N particles, the atoms of the structure first, and one list of edges per convolution.

    Attributes:
        species: [N], int64, atomic numbers.
        coords: [N, 3], float64, Å.
        edge_indices: n arrays [2, E_k], int64: edge_indices[k] holds the edges of all particles
            within k hops of the atoms; convolution l of n uses edge_indices[n - 1 - l].
        contributing: [N], int64, 0 for the atoms of the structure, 1 for ghosts.
        image_of: [N], int64, the atom of which a particle is an image.
    """

    species: NDArray[np.int64]
    coords: NDArray[np.float64]
    edge_indices: list[NDArray[np.int64]]
    contributing: NDArray[np.int64]
    image_of: NDArray[np.int64]


def staged_graph(atoms: Atoms, cutoff: float, layers: int, directed: bool = False) -> StagedGraph:
    """Surround the atoms with ghosts out to layers x cutoff and build the graph of each stage.

    Args:
        atoms: the structure.
        cutoff: length of the longest edge, Å.
        layers: number of convolutions.
        directed: edges only into the atoms whose features a stage needs, row 0 the source, row 1
            the target, each stage a prefix of the next; else (i, j) and (j, i) for each pair.

    Raises:
        TorchMLError: `layers` or `cutoff` is not positive.
    """
    if layers < 1:
        raise TorchMLError(f"a staged graph of {layers} layers was requested, expected at least 1")
    if not cutoff > 0:
        raise TorchMLError(f"the cutoff is {cutoff} Å, expected a positive length")
    particles = periodic_particles(
        atoms.positions, atoms.cell.array, atoms.pbc, cutoff, layers * cutoff
    )
    edges = _core.staged_graph(
        particles.coordinates,
        particles.contributing,
        particles.neighbor_offsets,
        particles.neighbors,
        cutoff,
        layers,
        directed,
    )
    return StagedGraph(
        species=atoms.numbers.astype(np.int64)[particles.image_of],
        coords=particles.coordinates,
        edge_indices=list(edges),
        contributing=1 - particles.contributing.astype(np.int64),
        image_of=particles.image_of,
    )
