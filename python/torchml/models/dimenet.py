"""DimeNet++: messages between messages, with the angle between them.

J. Gasteiger, S. Giri, J. T. Margraf and S. Günnemann, "Fast and Uncertainty-Aware Directional
Message Passing for Non-Equilibrium Molecules" (arXiv:2011.14115).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu

from torchml.models.base import FeatureModel
from torchml.models.pairs import edges_into
from torchml.models.radial import Bessel, lengths, polynomial_envelope
from torchml.models.spherical_basis import SphericalBessel, legendre


class Residual(torch.nn.Module):
    """x + two layers of x."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.one = torch.nn.Linear(features, features)
        self.two = torch.nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        return x + silu(self.two(silu(self.one(x))))


class Embedding(torch.nn.Module):
    """The first messages, from the elements at both ends of an edge and its length."""

    def __init__(self, elements: int, features: int, radial: int) -> None:
        super().__init__()
        self.elements = torch.nn.Embedding(elements, features)
        self.radial = torch.nn.Linear(radial, features)
        self.source = torch.nn.Linear(features, features, bias=False)
        self.target = torch.nn.Linear(features, features, bias=False)
        self.length = torch.nn.Linear(features, features)

    def forward(self, species: Tensor, edge_index: Tensor, rbf: Tensor) -> Tensor:
        """Shapes: species [M], edge_index [2, E], rbf [E, R]; result [E, F]."""
        x = self.elements(species)
        source = self.source(x).index_select(0, edge_index[0])
        target = self.target(x).index_select(0, edge_index[1])
        return silu(source + target + self.length(silu(self.radial(rbf))))


class Interaction(torch.nn.Module):
    """Messages k -> j change the message j -> i, by their length and the angle between them.

    The contribution of a message is multiplied by linear functions of the radial basis and of the
    basis of the triplet; both vanish at the cutoff.
    """

    def __init__(self, features: int, middle: int, small: int, radial: int, spherical: int) -> None:
        super().__init__()
        self.same = torch.nn.Linear(features, features)
        self.other = torch.nn.Linear(features, features)
        self.radial_in = torch.nn.Linear(radial, small, bias=False)
        self.radial_out = torch.nn.Linear(small, features, bias=False)
        self.spherical_in = torch.nn.Linear(spherical, small, bias=False)
        self.spherical_out = torch.nn.Linear(small, middle, bias=False)
        self.down = torch.nn.Linear(features, middle, bias=False)
        self.up = torch.nn.Linear(middle, features, bias=False)
        self.before_skip = Residual(features)
        self.skip = torch.nn.Linear(features, features)
        self.after_skip = torch.nn.Sequential(Residual(features), Residual(features))

    def forward(
        self, x: Tensor, rbf: Tensor, sbf: Tensor, changed: Tensor, source: Tensor, n_out: int
    ) -> Tensor:
        """Return the first `n_out` messages after the block.

        Shapes: x [E, F], rbf [E, R], sbf [T, S], changed and source i64[T]: the triplet t carries
        message source[t] to message changed[t]; result [n_out, F].
        """
        radial = self.radial_out(self.radial_in(rbf))
        carried = silu(self.down(silu(self.other(x)) * radial))
        angular = self.spherical_out(self.spherical_in(sbf))
        triplets = carried.index_select(0, source) * angular
        received = x.new_zeros([n_out, carried.size(1)]).index_add(0, changed, triplets)
        x = x[:n_out]
        y = silu(self.same(x)) + silu(self.up(received))
        y = self.before_skip(y)
        result: Tensor = self.after_skip(silu(self.skip(y)) + x)
        return result


class DimeNetPP(FeatureModel):
    """Directional message passing: features live on the edges.

    A message j -> i receives from the edges k -> j other than i -> j. Energies are computed from
    the sum of the messages into an atom, which costs one layer: `layers` is one more than the
    number of interaction blocks.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of one hop (Å).
        layers: interaction blocks plus one, at least one.
        features: width of the messages.
        triplet_features: width of the part of a message that is passed to other messages.
        radial_functions: number of Bessel functions that expand a distance.
        spherical_degrees: number of degrees of the functions of the angle.
        spherical_functions: number of radial functions that belong to one degree.
        basis_features: width to which both bases are reduced.
        dtype: float type of the weights, float32 or float64.
    """

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        layers: int = 3,
        features: int = 64,
        triplet_features: int = 32,
        radial_functions: int = 8,
        spherical_degrees: int = 7,
        spherical_functions: int = 6,
        basis_features: int = 8,
        dtype: str = "float64",
    ) -> None:
        super().__init__(
            species,
            cutoff,
            layers,
            features=features,
            triplet_features=triplet_features,
            radial_functions=radial_functions,
            spherical_degrees=spherical_degrees,
            spherical_functions=spherical_functions,
            basis_features=basis_features,
        )
        self.degrees = spherical_degrees
        self.bessel = Bessel(radial_functions, cutoff)
        self.spherical = SphericalBessel(spherical_degrees, spherical_functions, cutoff)
        self.embedding = Embedding(len(species), features, radial_functions)
        self.interactions = torch.nn.ModuleList(
            Interaction(
                features,
                triplet_features,
                basis_features,
                radial_functions,
                spherical_degrees * spherical_functions,
            )
            for _ in range(layers - 1)
        )
        self.outputs = torch.nn.ModuleList(
            torch.nn.Linear(radial_functions, features, bias=False) for _ in range(layers)
        )
        self.mix = torch.nn.ModuleList(torch.nn.Linear(features, features) for _ in range(layers))
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
        envelope = polynomial_envelope(r, self.cutoff).unsqueeze(1)
        rbf = self.bessel(r) * envelope
        changed, source, sbf = self.triplets(
            edge_vectors, r, envelope, edge_index, species.size(0), edge_counts
        )

        # Only the first edges point into shell 0, the atoms themselves.
        atoms, last = node_counts[0], edge_counts[0]
        target = edge_index[1, :last]
        x: Tensor = self.embedding(species, edge_index, rbf)
        messages = [x[:last]]
        for k, interaction in enumerate(self.interactions):
            n = edge_counts[-2 - k]
            count = int(torch.searchsorted(changed, n))
            x = interaction(x, rbf[: x.size(0)], sbf[:count], changed[:count], source[:count], n)
            messages.append(x[:last])

        total = x.new_zeros([atoms, x.size(1)])
        for block, (output, mix) in enumerate(zip(self.outputs, self.mix)):  # noqa: B905
            seen = messages[block] * output(rbf[:last])
            received = x.new_zeros([atoms, x.size(1)]).index_add(0, target, seen)
            total = total + silu(mix(received))
        return total

    def triplets(
        self,
        edge_vectors: Tensor,
        r: Tensor,
        envelope: Tensor,
        edge_index: Tensor,
        n_nodes: int,
        edge_counts: list[int],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return edges j -> i, sorted, the edges k -> j with k other than i, and the basis of both.

        Shapes: i64[T], i64[T], float[T, degrees * functions].
        """
        into = edge_counts[max(self.layers - 2, 0)] if self.layers > 1 else 0
        changed, source = edges_into(edge_index[0, :into], edge_index[1], n_nodes)
        # An edge and its reverse add up to zero; two different atoms are never this close.
        one, other = edge_vectors.detach()[changed], edge_vectors.detach()[source]
        away = (one + other).square().sum(1) > (1e-4 * self.cutoff) ** 2
        keep = torch.nonzero(away).squeeze(1)
        changed, source = changed.index_select(0, keep), source.index_select(0, keep)

        unit = edge_vectors / r.unsqueeze(1)
        cosine = -(unit.index_select(0, changed) * unit.index_select(0, source)).sum(1)
        radial = (self.spherical(r) * envelope).index_select(0, source)
        angular = legendre(cosine, self.degrees).unsqueeze(2)
        return changed, source, (radial.unflatten(1, [self.degrees, -1]) * angular).flatten(1)
