"""ACE as simulations run it: one operator, which evaluates atoms while their data are in caches."""

import copy
from dataclasses import dataclass, fields
from typing import cast

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
    member_linear: Tensor
    member_last: Tensor
    member_bias: Tensor
    member_offset: Tensor
    member_vacuum: Tensor

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
        energies = self.cluster(
            species, edge_vectors, edge_index, n, self.linear, layers, self.offset, self.vacuum
        )
        if self.repulsion:
            energies = energies + self.cores(species, edge_vectors, edge_index, n)
        return per_node(energies.unsqueeze(1), species)

    def member_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> list[Tensor]:
        n = node_counts[0]
        layers: list[Tensor] = []
        if self.network is not None:
            for layer in (self.network[0], self.network[2]):
                layers += [layer.weight, layer.bias]  # type: ignore[list-item]
            layers += [self.member_last, self.member_bias]
        energies = self.cluster(
            species,
            edge_vectors,
            edge_index,
            n,
            self.member_linear,
            layers,
            self.member_offset,
            self.member_vacuum,
        )
        if self.repulsion:
            energies = energies + self.cores(species, edge_vectors, edge_index, n)
        return list(energies.unbind(0))

    def cluster(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        n: int,
        linear: Tensor,
        layers: list[Tensor],
        offset: Tensor,
        vacuum: Tensor,
    ) -> Tensor:
        """Return the energies without repulsion by one readout, or by several: [n] or [R, n]."""
        return cluster_energies(
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
            linear,
            layers,
            self.crowding,
            offset,
            vacuum,
            self.cutoff,
            self.highest,
            n,
        )

    @torch.jit.unused
    def with_members(self, members: list[EdgeModel]) -> EdgeModel:
        model, several = copy.deepcopy(self), cast("list[SimulationACE]", members)
        model.members = len(members)
        for name in ("linear", "offset", "vacuum"):
            values = torch.stack([getattr(one, name) for one in several])
            model.register_buffer(f"member_{name}", values)
        last = [one.network[4] for one in several if one.network is not None]
        for name, buffer in (("weight", "member_last"), ("bias", "member_bias")):
            if last:
                model.register_buffer(buffer, torch.cat([getattr(one, name) for one in last]))
        return model
