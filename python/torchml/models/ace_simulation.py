"""ACE as simulations run it: one operator, which evaluates an atom while its data are in the cache."""

import copy

import torch
from torch import Tensor

from torchml.models.ace import ACE
from torchml.models.base import EdgeModel, per_node
from torchml.models.cluster import cluster_energies


class SimulationACE(EdgeModel):
    """The energies of an `ACE`, without parameters to train and without second derivatives.

    Args:
        model: an ACE; its present weights are taken over.
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

    @torch.no_grad()
    def __init__(self, model: ACE) -> None:
        super().__init__(model.species, model.cutoff, layers=1)
        self.label = model.label
        self.densities, self.highest = model.densities, model.highest
        self.repulsion = model.repulsion
        self.cores = copy.deepcopy(model.cores)
        self.network = copy.deepcopy(model.network)
        mean = model.feature_mean * model.feature_scale
        if self.network is not None:
            first = self.network[0]
            first.bias -= first.weight @ mean
        mix = model.effective_mix()
        scale = model.feature_scale.view(self.densities, 1, -1).expand(-1, len(model.couplings), -1)
        codes = torch.arange(len(self.species), device=mix.device)
        empty = mix.new_zeros(len(codes), (self.highest + 1) ** 2, model.table.size(1) * len(codes))
        values = {
            "weights": model.element_weights(),
            "table": model.table,
            "mix": mix,
            "bias": -model.shift @ mix[0],
            "coefficients": model.coefficients() * scale.flatten(0, 1),
            "terms": model.terms,
            "linear": model.linear,
            "crowding": self._crowding(model),
            "offset": (model.offset - model.linear @ mean).double(),
            "vacuum": model.energies(model.features(empty, codes), codes).double(),
        }
        for name, value in values.items():
            self.register_buffer(name, value.detach().clone().contiguous())
        for weight in self.parameters():
            weight.requires_grad_(False)

    @torch.jit.unused
    def _crowding(self, model: ACE) -> Tensor:
        """What a density of scalars is multiplied with to become t of `ACE.isolation`: [S, C N]."""
        weights = model.element_weights()
        counted = weights.size(1) if model.embedding is None else 1
        rows = torch.zeros(len(self.species), weights.size(1), model.table.size(1)).to(weights)
        rows[:, :counted, 0] = 1.0 / model.dilute.unsqueeze(1)
        return rows.flatten(1)

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
            first, second, last = self.network[0], self.network[2], self.network[4]
            layers += [first.weight, first.bias, second.weight, second.bias]
            layers += [last.weight, last.bias]
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
