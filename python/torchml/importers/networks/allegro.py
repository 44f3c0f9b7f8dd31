"""Allegro as an `EdgeModel`, arranged for evaluation on a CPU.

A. Musaelian et al., Nat. Commun. 14, 579 (2023). Each edge has scalars [E, S] and tensors
[E, U, I]; I counts the components of all representations, U the channels.

Allegro couples the tensor of an edge with the sum of its centre's edges, by a product for each
edge. The product is linear in the tensor: here its matrix [U, I, K] is made once for each atom.
`torchml.importers.reading.allegro_network` writes the plan of these modules.
"""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from torchml.importers.networks import equivariant, nequip, radial, repulsion
from torchml.importers.networks.equivariant import Harmonics
from torchml.importers.networks.messages import scripting, slots_of
from torchml.importers.networks.plan import built
from torchml.importers.networks.radial import Basis, Perceptron
from torchml.importers.networks.repulsion import ScreenedRepulsion, stretched
from torchml.models.base import EdgeModel, per_node
from torchml.models.radial import lengths
from torchml.models.scaled import Scaled


def build(network: Mapping[str, Any]) -> Scaled:
    """The potential of a plan, in float64.

    Args:
        network: `network`, the part `Allegro` with all of its parts; `references`, energies (eV)
            by symbol.
    """
    parts = (sys.modules[__name__], nequip, equivariant, radial, repulsion)
    potential = Scaled(built(network["network"], *parts))
    potential.set_normalization(network["references"], 1.0)
    return potential


class PairEmbedding(torch.nn.Module):
    """Scalars of an edge, of its length and the elements of its ends: [E] -> [E, S].

    Args:
        basis: expands distances; the last column is not used.
        projection: of the expanded distances, [R, 2 F].
        centers: features [Z, F] of the target's element.
        neighbors: features [Z, F] of the source's element.
        network: of the products of both.
    """

    projection: Tensor
    centers: Tensor
    neighbors: Tensor

    def __init__(
        self,
        basis: Basis,
        projection: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        network: Perceptron,
    ) -> None:
        super().__init__()
        self.basis = basis
        self.register_buffer("projection", projection)
        self.register_buffer("centers", centers)
        self.register_buffer("neighbors", neighbors)
        self.network = network

    def forward(self, r: Tensor, species: Tensor, edge_index: Tensor) -> Tensor:
        source = species.index_select(0, edge_index[0])
        target = species.index_select(0, edge_index[1])
        ends = [self.centers.index_select(0, target), self.neighbors.index_select(0, source)]
        radial = self.basis(r)[:, :-1] @ self.projection
        scalars: Tensor = self.network(torch.cat(ends, 1) * radial)
        return scalars


class Coupling(torch.nn.Module):
    """Products of the tensors of edges with those of their centres, [E, U, I] -> [E, U, K].

    Args:
        coefficients: [U, I, J, K].
    """

    coefficients: Tensor

    def __init__(self, coefficients: Tensor) -> None:
        super().__init__()
        self.inputs = coefficients.size(1)
        self.outputs = coefficients.size(3)
        # [U, J, I K]: the centre on the left
        self.register_buffer("coefficients", coefficients.transpose(1, 2).flatten(2).contiguous())

    def forward(
        self, tensors: Tensor, centers: Tensor, target: Tensor, slot: Tensor, width: int
    ) -> Tensor:
        """Shapes: centers [n, U, J]; `slot` [E] and `width` are those of `slots_of`."""
        nodes, channels = centers.size(0), centers.size(1)
        matrices = torch.bmm(centers.transpose(0, 1), self.coefficients).transpose(0, 1)
        matrices = matrices.reshape(nodes, channels, self.inputs, self.outputs)
        if width == 0:
            return (tensors.unsqueeze(3) * matrices.index_select(0, target)).sum(2)
        # A row for each slot of a centre: then the products are those of matrices.
        rows = tensors.new_zeros([nodes * width, channels * self.inputs])
        rows = rows.index_copy(0, slot, tensors.flatten(1))
        left = rows.view(nodes, width, channels, self.inputs).transpose(1, 2)
        right = torch.matmul(left, matrices).transpose(1, 2)
        right = right.reshape(nodes * width, channels * self.outputs)
        product: Tensor = right.index_select(0, slot).unflatten(1, [channels, self.outputs])
        return product


class Layer(torch.nn.Module):
    """A product of tensors, and the network of the scalars that come of it.

    Args:
        coupling: its first component is a scalar.
        network: of all scalars so far and the new ones; gives scalars, then weights for the sums
            of the next layer.
    """

    def __init__(self, coupling: Coupling, network: Perceptron) -> None:
        super().__init__()
        self.coupling = coupling
        self.network = network

    def forward(
        self,
        scalars: Tensor,
        tensors: Tensor,
        centers: Tensor,
        target: Tensor,
        slot: Tensor,
        width: int,
    ) -> tuple[Tensor, Tensor]:
        """Results of the network, and the product [E, U, K]."""
        product = self.coupling(tensors, centers, target, slot, width)
        return self.network(torch.cat([scalars, product[:, :, 0]], 1)), product


class Allegro(EdgeModel):
    """Energies of an Allegro without the shifts of the elements.

    Args:
        species: chemical symbols, in the order of the elements of the weights.
        cutoff: Å.
        embedding: first scalars of the edges.
        harmonics: of unit vectors.
        weighting: makes weights [U R] of harmonics of the embedding, for the first tensors.
        first: makes scalars, and weights for the first sums, of the embedding.
        blocks: the layers.
        scalars: S of a layer.
        channels: U.
        readout: energies of edges of all scalars.
        norms: factors of the sums over edges, by element of the centre.
        scales: factors of the sums of the edges' energies, by element (eV).
        stretches, repulsion: as of `torchml.importers.networks.nequip.NequIP`.
    """

    weighting: Tensor
    first: Tensor
    norms: Tensor
    scales: Tensor
    stretches: Tensor
    degrees: Tensor

    exact_distances = True
    __constants__ = ("has_repulsion",)

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        embedding: PairEmbedding,
        harmonics: Harmonics,
        weighting: Tensor,
        first: Tensor,
        blocks: list[Layer],
        scalars: int,
        channels: int,
        readout: Perceptron,
        norms: Tensor,
        scales: Tensor,
        stretches: Tensor | None = None,
        repulsion: ScreenedRepulsion | None = None,
    ) -> None:
        super().__init__(species, cutoff, 1)
        self.embedding = embedding
        self.harmonics = harmonics
        self.blocks = torch.nn.ModuleList(blocks)
        self.scalars = scalars
        self.channels = channels
        self.readout = readout
        self.register_buffer("weighting", weighting)
        self.register_buffer("first", first)
        self.register_buffer("norms", norms)
        self.register_buffer("scales", scales)
        none = torch.ones(0, 0, dtype=torch.float64)
        self.register_buffer("stretches", none if stretches is None else stretches)
        self.has_repulsion = repulsion is not None
        identity: torch.nn.Module = torch.nn.Identity()
        self.repulsion = repulsion or identity
        self.count = len(harmonics.steps) + 1
        each = torch.arange(self.count)
        degrees = each.repeat_interleave(2 * each + 1)
        self.register_buffer("degrees", degrees)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r = lengths(edge_vectors)
        dtype, nodes, target = self.norms.dtype, node_counts[0], edge_index[1]
        harmonics = self.harmonics((edge_vectors / r.unsqueeze(1)).to(dtype))
        distances = stretched(r, self.stretches, species, edge_index)
        slot, width = target, 0
        if scripting() or self.training:
            slot, width = slots_of(target, nodes)

        own = species[:nodes]
        norms = self.norms.index_select(0, own)
        embedding = self.embedding(distances, species, edge_index)
        tensors = self.weighted(harmonics, embedding @ self.weighting)
        results = embedding @ self.first
        scalars = results[:, : self.scalars]
        for block in self.blocks:
            parts = self.weighted(harmonics, results[:, self.scalars :]).flatten(1)
            sums = parts.new_zeros([nodes, parts.size(1)]).index_add(0, target, parts)
            centers = (sums * norms.unsqueeze(1)).view(nodes, self.channels, harmonics.size(1))
            results, tensors = block(scalars, tensors, centers, target, slot, width)
            scalars = torch.cat([scalars, results[:, : self.scalars]], 1)
        of_edges = self.readout(scalars)
        energies = of_edges.new_zeros([nodes, 1]).index_add(0, target, of_edges)
        energies = energies * self.scales.index_select(0, own).unsqueeze(1)
        if self.has_repulsion:
            near, far = r.to(dtype), distances.to(dtype)
            energies = energies + self.repulsion(near, far, species, edge_index, nodes)
        return per_node(energies, species)

    def weighted(self, harmonics: Tensor, weights: Tensor) -> Tensor:
        """Harmonics [E, I] times weights [E, U R] of their degrees: [E, U, I]."""
        by_degree = weights.view(weights.size(0), self.channels, self.count)
        return by_degree.index_select(2, self.degrees) * harmonics.unsqueeze(1)
