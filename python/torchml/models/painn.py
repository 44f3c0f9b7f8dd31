"""PaiNN: messages of scalars and vectors.

K. T. Schütt, O. T. Unke and M. Gastegger, ICML 2021 (arXiv:2102.03150).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from torchml.models.base import FeatureModel
from torchml.models.radial import EnvelopedBessel, LinearFilter, has_kernels, polar


class Message(torch.nn.Module):
    """Sum the scalars and vectors from the neighbours (eqs. 7 and 8 of the paper).

    With the features s and v of the source, the filter W and the direction u of the edge::

        (a, b, c) = phi(s) * W        ds = sum a        dv = sum (b v + c u)

    In the first layer all vectors are zero: b is not computed.
    """

    def __init__(self, features: int, radial: int, first: bool) -> None:
        super().__init__()
        self.features = features
        self.first = first
        parts = 2 if first else 3
        # Rows in: phi_0, phi_1, and the three of phi_2 v; rows out: ds and the three of dv; parts
        # of the filter: of ds, of c and of b; factors: the direction.
        self.terms = [0, 0, 0, -1]
        for axis in range(3):
            self.terms += [1 + axis, 1, 1, axis]
            if not first:
                self.terms += [1 + axis, 2 + axis, 2, -1]
        self.source_in = torch.nn.Linear(features, features)
        self.source_out = torch.nn.Linear(features, parts * features)
        self.filter = LinearFilter(radial, parts * features, bias=False)

    def forward(
        self,
        s: Tensor,
        v: Tensor,
        basis: Tensor,
        unit: Tensor,
        edge_index: Tensor,
        n_out: int,
        order: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the sums of messages at the first `n_out` nodes.

        Shapes: s [M, F], v [M, 3, F], basis [E, ...], unit [E, 3, 1], edge_index [2, E]; result
        [n_out, F] and [n_out, 3, F].
        """
        if self.filter.compressed or (order is not None and has_kernels(s)):
            features = self.source_out(silu(self.source_in(s)))
            if not self.first:
                kept, b = features.split([2 * self.features, self.features], 1)
                features = torch.cat([kept, (b.unsqueeze(1) * v).flatten(1)], 1)
            sums = self.filter.convolve(
                basis, features, unit.squeeze(2), edge_index, order, self.terms, n_out
            )
            ds, dv = sums.split([self.features, 3 * self.features], 1)
            return ds, dv.reshape(n_out, 3, self.features)
        source, target = edge_index[0], edge_index[1]
        phi = self.source_out(silu(self.source_in(s))).split(self.features, 1)
        weights = self.filter.weight.split(self.features, 0)
        ds = phi[0].index_select(0, source) * linear(basis, weights[0])
        c = phi[1].index_select(0, source) * linear(basis, weights[1])
        dv = c.unsqueeze(1) * unit
        if not self.first:
            # The product with v belongs to the source: there are fewer atoms than edges.
            b = (phi[2].unsqueeze(1) * v).index_select(0, source)
            dv = dv + b * linear(basis, weights[2]).unsqueeze(1)
        ds = ds.new_zeros([n_out, ds.size(1)]).index_add(0, target, ds)
        dv = dv.new_zeros([n_out, 3, ds.size(1)]).index_add(0, target, dv)
        return ds, dv


class Update(torch.nn.Module):
    """Mix the scalars and vectors of each atom (eqs. 9 and 10 of the paper).

    The vectors of the last layer are not used and therefore not updated.
    """

    def __init__(self, features: int, last: bool) -> None:
        super().__init__()
        self.features = features
        self.last = last
        self.mix = torch.nn.Linear(features, 2 * features, bias=False)
        self.gate_in = torch.nn.Linear(2 * features, features)
        self.gate_out = torch.nn.Linear(features, (2 if last else 3) * features)

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes: s [M, F], v [M, 3, F]; result the same."""
        left, right = self.mix(v).split(self.features, 2)
        # Smooth where the vector vanishes, as it does in symmetric surroundings.
        norm = torch.sqrt(right.square().sum(1) + 1e-2)
        gates = self.gate_out(silu(self.gate_in(torch.cat([s, norm], dim=1))))
        parts = gates.split(self.features, 1)
        s = s + parts[0] + parts[1] * (left * right).sum(1)
        if not self.last:
            v = v + parts[2].unsqueeze(1) * left
        return s, v


class Block(torch.nn.Module):
    """One layer: messages of the neighbours, then the update of each atom."""

    def __init__(self, features: int, radial: int, first: bool, last: bool) -> None:
        super().__init__()
        self.first = first
        self.message = Message(features, radial, first)
        self.update = Update(features, last)

    def forward(
        self,
        s: Tensor,
        v: Tensor,
        basis: Tensor,
        unit: Tensor,
        edge_index: Tensor,
        n_out: int,
        order: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return scalars and vectors of the first `n_out` nodes after the layer.

        Shapes as in Message.
        """
        ds, dv = self.message(s, v, basis, unit, edge_index, n_out, order)
        if not self.first:
            dv = v[:n_out] + dv
        result: tuple[Tensor, Tensor] = self.update(s[:n_out] + ds, dv)
        return result


class PaiNN(FeatureModel):
    """Equivariant message passing with scalar and vector features; energies from the scalars.

    The filters are linear in Bessel functions of the distance and have a polynomial envelope, so
    that energy, force and curvature are zero where an atom enters or leaves the neighbourhood.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of one message (Å).
        layers: number of message and update blocks.
        features: width of the scalar and of the vector features.
        radial_functions: number of Bessel functions that expand a distance.
        dtype: float type of the weights, float32 or float64.
    """

    exact_distances = True

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        layers: int = 3,
        features: int = 64,
        radial_functions: int = 20,
        dtype: str = "float64",
    ) -> None:
        super().__init__(
            species, cutoff, layers, features=features, radial_functions=radial_functions
        )
        self.embedding = torch.nn.Embedding(len(species), features)
        self.bessel = EnvelopedBessel(radial_functions, cutoff, times_envelope=True)
        self.blocks = torch.nn.ModuleList(
            Block(features, radial_functions + 1, k == 0, k == layers - 1) for k in range(layers)
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
        r, directions = polar(edge_vectors)
        # The last column is the bias of the filters: like the others it vanishes at the cutoff.
        basis, order = self.bessel(r), self.bessel.order(edge_index, species.size(0))

        s: Tensor = self.embedding(species)
        unit = directions.to(s.dtype).t().contiguous().unsqueeze(2)
        v = s.new_zeros([0, 3, s.size(1)])
        for k, block in enumerate(self.blocks):
            n, nodes = edge_counts[-1 - k], node_counts[-2 - k]
            s, v = block(s, v, basis[:n], unit[:n], edge_index[:, :n], nodes, order)
        return s
