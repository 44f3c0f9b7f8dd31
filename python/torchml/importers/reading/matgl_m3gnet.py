"""matgl's M3GNet as a function of edge vectors, with matgl's own layers.

C. Chen and S. P. Ong, Nat. Comput. Sci. 2, 718 (2022).

Pairs of bonds at one atom are found here with torch operations, whose sizes depend on the
positions: TorchScript allows that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class M3GNet(torch.nn.Module):
    """The energies of atoms (eV); all layers work on all atoms.

    Args:
        network: matgl's M3GNet.
        codes: place of each species in the network's elements.
        scale: factor of the energies (eV).
        references: added to the energies, by species code (eV), float64.
    """

    codes: Tensor
    references: Tensor

    def __init__(self, network: Any, codes: Tensor, scale: float, references: Tensor) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.dtype = next(network.parameters()).dtype
        self.register_buffer("codes", codes)
        self.register_buffer("references", references)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        network = self.network
        vectors = edge_vectors.to(self.dtype)
        distance = torch.linalg.norm(vectors, dim=1)
        radial = network.bond_expansion(distance)
        within = torch.where(
            distance <= network.threebody_cutoff,
            _envelope(distance / network.threebody_cutoff),
            0.0,
        )
        bonds = pairs_of_bonds(edge_index[1], distance <= network.threebody_cutoff, species)
        basis = self.basis(vectors, distance, bonds)
        nodes, edges, _ = network.embedding(self.codes[species], radial, None)
        weights = basis * (within[bonds[0]] * within[bonds[1]]).unsqueeze(1)
        third = edge_index[0][bonds[1]]
        for angles, layer in zip(
            network.three_body_interactions, network.graph_layers, strict=True
        ):
            sent = weights * angles.update_network_atom(nodes)[third]
            sums = sent.new_zeros([edge_index.size(1), sent.size(1)]).index_add(0, bonds[0], sent)
            edges = edges + angles.update_network_bond(sums)
            edges, nodes = _convolved(layer.conv, edges, nodes, radial, edge_index)
        energies: Tensor = network.final_layer(nodes).squeeze(1).to(self.references.dtype)
        return energies * self.scale + self.references[species]

    def basis(self, vectors: Tensor, distance: Tensor, bonds: Tensor) -> Tensor:
        """Functions of the angle between two bonds and of the length of the second."""
        one, other = vectors[bonds[0]], vectors[bonds[1]]
        norms = distance[bonds[0]] * distance[bonds[1]]
        cosine = ((one * other).sum(1) / norms).clamp(min=-1 + 1e-7, max=1 - 1e-7)
        functions: Tensor = self.network.basis_expansion(
            distance[bonds[1]], cosine, torch.zeros_like(cosine)
        )
        return functions


def _convolved(
    layer: Any, edges: Tensor, nodes: Tensor, radial: Tensor, edge_index: Tensor
) -> tuple[Tensor, Tensor]:
    """Features of edges, then of nodes, after a layer; an atom comes before its neighbour."""
    both = torch.cat([nodes[edge_index[1]], nodes[edge_index[0]]], 1)
    change = layer.edge_update_func(torch.cat([both, edges], 1))
    edges = edges + change * layer.edge_weight_func(radial)
    sent = layer.node_update_func(torch.cat([both, edges], 1)) * layer.node_weight_func(radial)
    return edges, nodes.index_add(0, edge_index[1], sent)


def _envelope(x: Tensor) -> Tensor:
    """1 - 10 x^3 + 15 x^4 - 6 x^5."""
    return 1.0 - x.pow(3) * (10.0 - x * (15.0 - 6.0 * x))


def pairs_of_bonds(target: Tensor, short: Tensor, species: Tensor) -> Tensor:
    """All ordered pairs of two different short edges into the same atom.

    Args:
        target: of the edges, i64[E].
        short: which edges count, bool[E].
        species: i64[M], for the number of atoms.

    Returns:
        places of the edges, i64[2, P].
    """
    edges = short.nonzero().squeeze(1)
    edges = edges[torch.argsort(target[edges], stable=True)]
    atom = target[edges]
    number = torch.zeros_like(species).index_add(0, atom, torch.ones_like(atom))
    partners = number[atom]
    first = torch.repeat_interleave(torch.arange(atom.size(0), device=atom.device), partners)
    place = torch.arange(first.size(0), device=atom.device) - (partners.cumsum(0) - partners)[first]
    second = (number.cumsum(0) - number)[atom[first]] + place
    other = (first != second).nonzero().squeeze(1)
    return torch.stack([edges[first[other]], edges[second[other]]])
