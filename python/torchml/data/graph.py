"""The graph of a configuration, as a network is trained on it.

Training uses the inputs of the calling convention `edges`: the vectors between neighbours. They
are computed once, in float64, from the positions; forces and stress are derivatives of the energy
with respect to them, so that each graph is built once.

Two kinds of graphs give the same energies:

minimum_image  the nodes are the atoms; an edge to an image of an atom starts at the atom itself
staged         the nodes are the atoms and their ghosts, exactly as inside a simulator
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from ase.data import atomic_numbers
from numpy.typing import NDArray
from torch import Tensor

from torchml import _core
from torchml.data.configuration import Configuration
from torchml.errors import DataError, TorchMLError
from torchml.neighbors import ParticleSystem, periodic_particles

Kind = Literal["minimum_image", "staged"]


@dataclass(frozen=True, eq=False)
class Graph:
    """M nodes, of which the first A are the atoms, and E edges.

    species       i64[M], codes (or atomic numbers, if the builder makes these)
    edge_vectors  float[E, 3], position of the source minus position of the target, Å
    edge_index    i64[2, E], row 0 source, row 1 target; sorted by the target's shell
    node_counts   node_counts[k] nodes lie in the shells 0..k; layers + 1 entries
    edge_counts   edge_counts[k] edges point into the shells 0..k; layers entries
    atom_of_node  i64[M], the atom of which a node is an image (atoms: themselves)
    coordinates   float[M, 3], Å, and
    stages        symmetric edges of each stage, i64[2, E_k]: only for models of convention `graph`
    """

    species: Tensor
    edge_vectors: Tensor
    edge_index: Tensor
    node_counts: list[int]
    edge_counts: list[int]
    atom_of_node: Tensor
    coordinates: Tensor | None = None
    stages: list[Tensor] = field(default_factory=list)

    @property
    def n_atoms(self) -> int:
        return self.node_counts[0]


@dataclass(frozen=True)
class GraphBuilder:
    """Build graphs for one model.

    Attributes:
        species: chemical symbols in the order of the species codes.
        cutoff: neighbours are closer than this (Å).
        layers: message-passing layers.
        kind: minimum_image or staged.
        dtype: float type of the edge vectors.
        symmetric: staged graphs as the convention `graph` has them, with coordinates and
            symmetric stages, in the order of the particles.
        atomic_numbers: nodes carry atomic numbers instead of codes.
    """

    species: Sequence[str]
    cutoff: float
    layers: int
    kind: Kind = "minimum_image"
    dtype: torch.dtype = torch.float64
    symmetric: bool = False
    atomic_numbers: bool = False

    def __call__(self, configuration: Configuration) -> Graph:
        """Build the graph of a configuration.

        Raises:
            DataError: the model has no code for an element, or two atoms are at the same place.
        """
        staged = self.kind == "staged"
        try:
            particles = periodic_particles(
                configuration.positions,
                configuration.cell,
                configuration.pbc,
                self.cutoff,
                self.cutoff * (self.layers if staged else 1),
            )
        except TorchMLError as error:
            raise DataError(f"{configuration.name}: {error}") from None
        atoms = self._species_of(configuration)
        _check_apart(particles, configuration)
        if self.symmetric:
            return self._symmetric(particles, atoms)
        return self._staged(particles, atoms) if staged else self._minimum_image(particles, atoms)

    def _species_of(self, configuration: Configuration) -> NDArray[np.int64]:
        codes = np.full(119, -1)
        for code, symbol in enumerate(self.species):
            codes[atomic_numbers[symbol]] = code
        codes_of_atoms: NDArray[np.int64] = codes[configuration.numbers]
        if (codes_of_atoms < 0).any():
            atom = int(np.argmin(codes_of_atoms))
            raise DataError(
                f"{configuration.name}: atom {atom} has the atomic number "
                f"{configuration.numbers[atom]}, but the model knows only {' '.join(self.species)}"
            )
        return configuration.numbers if self.atomic_numbers else codes_of_atoms

    def _minimum_image(self, particles: ParticleSystem, species: NDArray[np.int64]) -> Graph:
        n = len(species)
        target = np.repeat(np.arange(n), np.diff(particles.neighbor_offsets[: n + 1]))
        source = particles.neighbors
        vectors = particles.coordinates[source] - particles.coordinates[target]
        near = np.einsum("ij,ij->i", vectors, vectors) < self.cutoff**2
        edges = np.stack([particles.image_of[source], target])[:, near]
        return Graph(
            species=torch.from_numpy(species),
            edge_vectors=torch.from_numpy(vectors[near]).to(self.dtype),
            edge_index=torch.from_numpy(edges),
            node_counts=[n] * (self.layers + 1),
            edge_counts=[edges.shape[1]] * self.layers,
            atom_of_node=torch.arange(n),
        )

    def _staged(self, particles: ParticleSystem, species: NDArray[np.int64]) -> Graph:
        shells = _core.shell_graph(
            particles.coordinates,
            particles.contributing,
            particles.neighbor_offsets,
            particles.neighbors,
            self.cutoff,
            self.layers,
        )
        nodes, edges = shells["nodes"], shells["edge_index"]
        places = particles.coordinates[nodes]
        owners = particles.image_of[nodes]
        return Graph(
            species=torch.from_numpy(species[owners]),
            edge_vectors=torch.from_numpy(places[edges[0]] - places[edges[1]]).to(self.dtype),
            edge_index=torch.from_numpy(edges),
            node_counts=shells["node_counts"],
            edge_counts=shells["edge_counts"],
            atom_of_node=torch.from_numpy(owners),
        )

    def _symmetric(self, particles: ParticleSystem, species: NDArray[np.int64]) -> Graph:
        stages = _core.staged_graph(
            particles.coordinates,
            particles.contributing,
            particles.neighbor_offsets,
            particles.neighbors,
            self.cutoff,
            self.layers,
            False,
        )
        n, last = particles.atoms, stages[-1]
        everything = len(particles.coordinates)
        return Graph(
            species=torch.from_numpy(species[particles.image_of]),
            edge_vectors=torch.from_numpy(
                particles.coordinates[last[0]] - particles.coordinates[last[1]]
            ).to(self.dtype),
            edge_index=torch.from_numpy(last),
            node_counts=[n] + [everything] * self.layers,
            edge_counts=[stage.shape[1] for stage in stages],
            atom_of_node=torch.from_numpy(particles.image_of),
            coordinates=torch.from_numpy(particles.coordinates).to(self.dtype),
            stages=[torch.from_numpy(stage) for stage in stages],
        )


def _check_apart(particles: ParticleSystem, configuration: Configuration) -> None:
    """Forces between atoms at the same place have no direction."""
    n = particles.atoms
    target = np.repeat(np.arange(n), np.diff(particles.neighbor_offsets[: n + 1]))
    source = particles.neighbors[: len(target)]
    same = (particles.coordinates[source] == particles.coordinates[target]).all(1)
    if same.any():
        pair = int(np.argmax(same))
        raise DataError(
            f"{configuration.name}: atoms {target[pair]} and {particles.image_of[source[pair]]} "
            "are at the same place"
        )
