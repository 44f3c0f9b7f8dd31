"""ACE as simulations run it: one operator, which evaluates atoms while their data are in caches."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from torchml.models.base import EdgeModel, per_node
from torchml.models.cluster import cluster_energies
from torchml.models.cores import Cores


@dataclass(frozen=True)
class ClusterTensors:
    """What `cluster_energies` takes besides the graph and the network."""

    weights: Tensor
    table: Tensor
    mix: Tensor
    bias: Tensor
    coefficients: Tensor
    terms: Tensor
    linear: Tensor
    crowding: Tensor
    offset: Tensor
    vacuum: Tensor


class SimulationACE(EdgeModel):
    """The energies of an `ACE`, without parameters to train and without second derivatives.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of the density (Å).
        tensors: the weights.
        network: two hidden layers and one unit on top of the polynomials; None: none.
        cores: the repulsion; its distances are those where neighbours fade from the density.
        repulsion: add it.
    """

    exact_distances = True
    weights: Tensor
    table: Tensor
    mix: Tensor
    bias: Tensor
    coefficients: Tensor
    terms: Tensor
    linear: Tensor
    crowding: Tensor
    offset: Tensor
    vacuum: Tensor

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        tensors: ClusterTensors,
        network: torch.nn.Sequential | None,
        cores: Cores,
        repulsion: bool,
    ) -> None:
        super().__init__(species, cutoff, layers=1)
        for field in fields(tensors):
            self.register_buffer(field.name, getattr(tensors, field.name).contiguous())
        self.densities = tensors.linear.size(0) // tensors.mix.size(2)
        self.highest = tensors.mix.size(0) - 1
        self.network = network
        self.cores = cores
        self.repulsion = repulsion
        for weight in self.parameters():
            weight.requires_grad_(False)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        n = node_counts[0]
        layers: list[Tensor] = []
        if self.network is not None:
            for layer in (self.network[0], self.network[2], self.network[4]):
                layers += [layer.weight, layer.bias]  # type: ignore[list-item]
        energies = cluster_energies(
            edge_vectors,
            species,
            edge_index,
            torch.ops.torchml.edge_order(edge_index, species.size(0)),
            self.cores.core,
            self.weights,
            self.table,
            self.mix,
            self.bias,
            self.coefficients,
            self.terms,
            self.densities,
            self.linear,
            layers,
            self.crowding,
            self.offset,
            self.vacuum,
            self.cutoff,
            self.highest,
            n,
        )
        if self.repulsion:
            energies = energies + self.cores(species, edge_vectors, edge_index, n)
        return per_node(energies.unsqueeze(1), species)
