"""matgl's TensorNet as a function of edge vectors, with matgl's own linear maps.

A tensor of an atom and channel, 3x3, is a sum of a multiple of 1, a skew and a symmetric traceless
matrix: ten numbers, of which radial functions scale the kinds apart. What edges send is these ten.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# The place of each component in the 3x3 matrix: 1, then skew (axial vector), then symmetric.
_SYMMETRIC = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_KIND = (0, 1, 1, 1, 2, 2, 2, 2, 2, 2)
# How often the square of each component occurs in the sum of squares of the matrix.
_WEIGHT = (3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0)


def _composition() -> Tensor:
    """Matrix of components: float64[9, 10]."""
    basis = torch.zeros(10, 3, 3, dtype=torch.float64)
    basis[0] = torch.eye(3)
    for k, (i, j) in enumerate(((2, 1), (0, 2), (1, 0))):
        basis[1 + k, i, j], basis[1 + k, j, i] = 1.0, -1.0
    for k, (i, j) in enumerate(_SYMMETRIC):
        basis[4 + k, i, j] = basis[4 + k, j, i] = 1.0
    return basis.flatten(1).T.contiguous()


def _decomposition() -> Tensor:
    """Components of a matrix, the symmetric ones without trace: float64[10, 9]."""
    parts = torch.zeros(10, 3, 3, dtype=torch.float64)
    parts[0] = torch.eye(3) / 3
    for k, (i, j) in enumerate(((2, 1), (0, 2), (1, 0))):
        parts[1 + k, i, j], parts[1 + k, j, i] = 0.5, -0.5
    for k, (i, j) in enumerate(_SYMMETRIC):
        parts[4 + k, i, j] += 0.5
        parts[4 + k, j, i] += 0.5
        if i == j:
            parts[4 + k] -= torch.eye(3) / 3
    return parts.flatten(1)


class TensorNet(torch.nn.Module):
    """The energies of atoms (eV).

    Args:
        network: matgl's TensorNet.
        codes: place of each species in the network's elements.
        scale: factor of the energies (eV).
        references: added to the energies, by species code (eV), float64.
    """

    codes: Tensor
    references: Tensor
    kind: Tensor
    weight: Tensor
    compose: Tensor
    decompose: Tensor

    def __init__(self, network: Any, codes: Tensor, scale: float, references: Tensor) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        dtype = next(network.parameters()).dtype
        self.register_buffer("codes", codes)
        self.register_buffer("references", references)
        self.register_buffer("kind", torch.tensor(_KIND))
        self.register_buffer("weight", torch.tensor(_WEIGHT, dtype=dtype).view(-1, 1))
        self.register_buffer("compose", _composition().to(dtype))
        self.register_buffer("decompose", _decomposition().to(dtype))

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        network = self.network
        edge_vectors = edge_vectors.to(self.compose.dtype)
        distance = torch.linalg.norm(edge_vectors, dim=1)
        radial = network.bond_expansion(distance)
        envelope = torch.where(
            distance <= network.cutoff,
            0.5 * (torch.cos(torch.pi * distance / network.cutoff) + 1.0),
            0.0,
        ).unsqueeze(1)
        unit = edge_vectors / distance.clamp(min=1e-6).unsqueeze(1)
        n = node_counts[-2]
        x = self.embedded(self.codes[species], unit, radial, envelope, edge_index, n)
        for k, layer in enumerate(network.layers):
            n, e = node_counts[-3 - k], edge_counts[-2 - k]
            x = self.interaction(layer, x, radial[:e], envelope[:e], edge_index[:, :e], n)
        features = network.linear(network.out_norm(self.squares_by_kind(self.parts(x))))
        network_energies = network.final_layer(features).squeeze(1).to(self.references.dtype)
        energies = network_energies * self.scale + self.references[species[: node_counts[0]]]
        return torch.nn.functional.pad(energies, [0, species.size(0) - energies.size(0)])

    def embedded(
        self,
        elements: Tensor,
        unit: Tensor,
        radial: Tensor,
        envelope: Tensor,
        edge_index: Tensor,
        count: int,
    ) -> Tensor:
        """Tensors of the first `count` atoms of the elements and directions of neighbours."""
        layer = self.network.tensor_embedding
        species = layer.emb(elements)
        # The atom itself first, then its neighbour.
        pair = layer.emb2(torch.cat([species[edge_index[1]], species[edge_index[0]]], dim=1))
        maps = (layer.distance_proj1, layer.distance_proj2, layer.distance_proj3)
        weights = torch.stack([one(radial) for one in maps], dim=1) * envelope.unsqueeze(2)
        weights = weights * pair.unsqueeze(1)
        sent = weights[:, self.kind] * self.of_direction(unit).unsqueeze(2)
        parts = self.sum_of(sent, edge_index[1], count)
        scalars = layer.init_norm(self.squares(parts))
        for linear in layer.linears_scalar:
            scalars = layer.act(linear(scalars))
        scalars = scalars.unflatten(1, [layer.units, 3]).transpose(1, 2)
        return self.matrix(self.mapped(parts, layer.linears_tensor) * scalars[:, self.kind])

    def interaction(
        self,
        layer: Any,
        x: Tensor,
        radial: Tensor,
        envelope: Tensor,
        edge_index: Tensor,
        count: int,
    ) -> Tensor:
        """Tensors [M, 9, U] after a layer, of the first `count` atoms."""
        weights = radial
        for linear in layer.linears_scalar:
            weights = layer.act(linear(weights))
        weights = (weights * envelope).unflatten(1, [layer.units, 3]).transpose(1, 2)
        parts = self.parts(x)
        x = x / (self.squares(parts) + 1.0).unsqueeze(1)
        parts = self.mapped(self.parts(x), layer.linears_tensor[:3])
        sent = weights[:, self.kind] * parts[edge_index[0]]
        message = self.matrix(self.sum_of(sent, edge_index[1], count))
        x, own = x[:count], self.matrix(parts[:count])
        if layer.equivariance_invariance_group == "O(3)":
            product = self.product(message, own) + self.product(own, message)
        else:
            product = 2.0 * self.product(own, message)
        parts = self.parts(product)
        parts = parts / (self.squares(parts) + 1.0).unsqueeze(1)
        change = self.matrix(self.mapped(parts, layer.linears_tensor[3:]))
        return x + change + self.product(change, change)

    def of_direction(self, unit: Tensor) -> Tensor:
        """Components of the edges' own tensors: 1, the vector, its symmetric traceless square."""
        square = [unit[:, i] * unit[:, j] - (1.0 / 3.0 if i == j else 0.0) for i, j in _SYMMETRIC]
        one = torch.ones_like(unit[:, :1])
        return torch.cat([one, unit, torch.stack(square, dim=1)], dim=1)

    def parts(self, matrix: Tensor) -> Tensor:
        """Components of matrices: [n, 9, U] -> [n, 10, U]."""
        return torch.matmul(self.decompose, matrix)

    def matrix(self, parts: Tensor) -> Tensor:
        """Matrices of components: [n, 10, U] -> [n, 9, U]."""
        return torch.matmul(self.compose, parts)

    def squares(self, parts: Tensor) -> Tensor:
        """Sums of the squares of matrices, of their components: [n, 10, U] -> [n, U]."""
        return (parts.square() * self.weight).sum(1)

    def squares_by_kind(self, parts: Tensor) -> Tensor:
        """The same for each kind of components, side by side: [n, 10, U] -> [n, 3 U]."""
        squares = parts.square() * self.weight
        kinds = [squares[:, :1], squares[:, 1:4], squares[:, 4:]]
        return torch.cat([one.sum(1) for one in kinds], dim=1)

    @staticmethod
    def mapped(parts: Tensor, maps: Any) -> Tensor:
        """A linear map of the channels for each kind of components."""
        kinds = [parts[:, :1], parts[:, 1:4], parts[:, 4:]]
        return torch.cat([linear(one) for linear, one in zip(maps, kinds, strict=True)], dim=1)

    @staticmethod
    def sum_of(sent: Tensor, target: Tensor, count: int) -> Tensor:
        """Sums of [E, 10, U] for each target."""
        return sent.new_zeros([count, sent.size(1), sent.size(2)]).index_add(0, target, sent)

    @staticmethod
    def product(a: Tensor, b: Tensor) -> Tensor:
        """Products of 3x3 matrices, channel by channel: [n, 9, U] of two [n, 9, U]."""
        a = a.unflatten(1, [3, 3])
        b = b.unflatten(1, [3, 3])
        return (a.unsqueeze(3) * b.unsqueeze(1)).sum(2).flatten(1, 2)
