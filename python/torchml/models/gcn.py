"""GCN: graph convolutions with weights that depend on distance.

After T. N. Kipf and M. Welling, ICLR 2017 (arXiv:1609.02907), whose adjacency matrix becomes a
learnt, smooth function of the distance.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu

from torchml.models.base import FeatureModel
from torchml.models.radial import EnvelopedBessel, LinearFilter, lengths, polynomial_envelope


class Convolution(torch.nn.Module):
    """x_i + silu(A x_i + sum_j w(r_ij) * B x_j / sqrt(1 + d_i)) with the smooth degree d."""

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        self.own = torch.nn.Linear(features, features)
        self.neighbor = torch.nn.Linear(features, features, bias=False)
        self.weight = LinearFilter(radial, features, bias=False)

    def forward(
        self,
        x: Tensor,
        basis: Tensor,
        norm: Tensor,
        edge_index: Tensor,
        order: Tensor | None = None,
    ) -> Tensor:
        """Return the features of the first m nodes after the layer.

        Shapes: x [M, F], basis [E, ...], norm [m, 1], edge_index [2, E]; result [m, F].
        """
        received = self.weight.convolve(
            basis, self.neighbor(x), None, edge_index, order, [0, 0, 0, -1], norm.size(0)
        )
        x = x[: norm.size(0)]
        return x + silu(self.own(x) + received * norm)


class GCN(FeatureModel):
    """Graph convolution on distances: the simplest of the networks, and fast.

    The sum over neighbours is divided by the root of the degree of the atom itself, counted with
    the envelope. Kipf and Welling divide by the degrees of both ends; those of the neighbours would
    cost a further layer of ghosts.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of one convolution (Å).
        layers: number of convolutions.
        features: width of the atomic features.
        radial_functions: number of Bessel functions that expand a distance.
        dtype: float type of the weights, float32 or float64.
    """

    radial = True
    exact_distances = True

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        layers: int = 3,
        features: int = 64,
        radial_functions: int = 16,
        dtype: str = "float64",
    ) -> None:
        super().__init__(
            species, cutoff, layers, features=features, radial_functions=radial_functions
        )
        self.embedding = torch.nn.Embedding(len(species), features)
        self.bessel = EnvelopedBessel(radial_functions, cutoff, times_envelope=True)
        self.convolutions = torch.nn.ModuleList(
            Convolution(features, radial_functions + 1) for _ in range(layers)
        )
        self.complete(dtype)

    def node_features(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r = lengths(edge_vectors)
        # The last column is the bias of the weights: like the others it vanishes at the cutoff.
        basis, order = self.bessel(r), self.bessel.order(edge_index, species.size(0))
        x: Tensor = self.embedding(species)
        envelope = polynomial_envelope(r, self.cutoff).to(x.dtype)
        # All edges into the nodes that a layer updates are present: their degrees are complete.
        degree = envelope.new_zeros([species.size(0)]).index_add(0, edge_index[1], envelope)
        norm = torch.rsqrt(1.0 + degree).unsqueeze(1)
        for k, convolution in enumerate(self.convolutions):
            n, nodes = edge_counts[-1 - k], node_counts[-2 - k]
            x = convolution(x, basis[:n], norm[:nodes], edge_index[:, :n], order)
        return x
