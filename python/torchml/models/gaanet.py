"""Attention over pairs of neighbours, in the manner of geometric algebra attention networks.

M. Spellings, "Geometric Algebra Attention Networks for Small Point Clouds" (arXiv:2110.02393).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu

from torchml.models.base import FeatureModel
from torchml.models.pairs import edge_pairs
from torchml.models.perceptron import perceptron
from torchml.models.radial import Bessel, lengths, polynomial_envelope


def invariants(p: Tensor, q: Tensor) -> Tensor:
    """Return scalar part and squared bivector part of the products: [T, 3] twice -> [T, 2]."""
    scalar = (p * q).sum(1)
    bivector = torch.linalg.cross(p, q).square().sum(1)
    return torch.stack([scalar, bivector], dim=1)


class Attention(torch.nn.Module):
    """Attention of an atom over the pairs of its neighbours.

    The geometric product of two vectors is a scalar and a bivector, p q = p . q + p ^ q; the scalar
    and the square of the bivector are invariant under rotations. A pair has a value, computed from
    both invariants and the features of the two neighbours, and a score; the atom receives the
    average of the values, weighted by exp(score) and by the envelopes of both edges. The
    denominator contains 1 in addition, so that the last pair vanishes smoothly at the cutoff.
    """

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        self.source = torch.nn.Linear(features, features)
        self.length = torch.nn.Linear(radial, features)
        self.product = torch.nn.Linear(2, features)
        self.value = perceptron(features, features)
        self.score = perceptron(features, features, 1)
        self.update = perceptron(2 * features, features, features)

    def forward(
        self,
        x: Tensor,
        basis: Tensor,
        products: Tensor,
        weights: Tensor,
        edge_index: Tensor,
        one: Tensor,
        other: Tensor,
        n_out: int,
    ) -> Tensor:
        """Return the features of the first `n_out` nodes after the layer.

        Shapes: x [M, F], basis [E, R], products [T, 2], weights [T, 1], edge_index [2, E], one and
        other i64[T]: the edges of a pair; result [n_out, F].
        """
        ends = self.source(x).index_select(0, edge_index[0]) * self.length(basis)
        merged = ends.index_select(0, one) + ends.index_select(0, other)
        hidden = silu(merged + self.product(products))
        # Scores are bounded, so that no weight overflows in float32.
        weights = weights * torch.exp(5.0 * torch.tanh(self.score(hidden) / 5.0))
        target = edge_index[1].index_select(0, one)
        terms = torch.cat([silu(self.value(hidden)) * weights, weights], dim=1)
        sums = x.new_zeros([n_out, terms.size(1)]).index_add(0, target, terms)
        f = x.size(1)
        received = sums[:, :f] / (1.0 + sums[:, f:])
        x = x[:n_out]
        updated: Tensor = x + self.update(torch.cat([x, received], dim=1))
        return updated


class GAANet(FeatureModel):
    """Attention over pairs of neighbours through invariants of their geometric product.

    Each neighbour also forms a pair with itself, so that an atom with one neighbour interacts
    with it.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of one layer (Å).
        layers: number of attention layers.
        features: width of the atomic features.
        radial_functions: number of Bessel functions that expand a distance.
        dtype: float type of the weights, float32 or float64.
    """

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        layers: int = 2,
        features: int = 32,
        radial_functions: int = 8,
        dtype: str = "float64",
    ) -> None:
        super().__init__(
            species, cutoff, layers, features=features, radial_functions=radial_functions
        )
        self.embedding = torch.nn.Embedding(len(species), features)
        self.bessel = Bessel(radial_functions, cutoff)
        self.attentions = torch.nn.ModuleList(
            Attention(features, radial_functions) for _ in range(layers)
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
        envelope = polynomial_envelope(r, self.cutoff)
        basis = self.bessel(r)
        one, other = edge_pairs(edge_index[1], species.size(0))
        itself = torch.arange(r.size(0), device=r.device)
        one, other = torch.cat([itself, one]), torch.cat([itself, other])

        p, q = edge_vectors.index_select(0, one), edge_vectors.index_select(0, other)
        products = invariants(p / self.cutoff, q / self.cutoff)
        weights = (envelope.index_select(0, one) * envelope.index_select(0, other)).unsqueeze(1)

        x: Tensor = self.embedding(species)
        for k, attention in enumerate(self.attentions):
            n, nodes = edge_counts[-1 - k], node_counts[-2 - k]
            if n < r.size(0):
                inside = torch.nonzero(torch.maximum(one, other) < n).squeeze(1)
                one, other = one.index_select(0, inside), other.index_select(0, inside)
                products = products.index_select(0, inside)
                weights = weights.index_select(0, inside)
            x = attention(x, basis[:n], products, weights, edge_index[:, :n], one, other, nodes)
        return x
