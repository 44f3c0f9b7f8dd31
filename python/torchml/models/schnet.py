"""SchNet: continuous-filter convolutions.

K. T. Schütt, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko and K.-R. Müller,
J. Chem. Phys. 148, 241722 (2018).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import linear, softplus

from torchml.models.base import FeatureModel, float_type
from torchml.models.names import keep_names
from torchml.models.perceptron import shifted_softplus
from torchml.models.radial import EnvelopedGaussians, RadialFunction, lengths, with_bias
from torchml.models.radial import Filters as RadialFilters


class Filters(RadialFunction):
    """A network of Gaussians, times the envelope."""

    def __init__(self, filters: int, gaussians: int) -> None:
        super().__init__()
        self.filter_in = torch.nn.Linear(gaussians, filters)
        self.filter_out = torch.nn.Linear(filters, filters)

    def forward(self, expansion: Tensor) -> Tensor:
        return self.bare(expansion[:, :-1]) * expansion[:, -1:]

    def bare(self, gaussians: Tensor) -> Tensor:
        """Return the functions without the envelope: [E, R] -> [E, K]"""
        bias = self.shifted_bias()
        return linear(softplus(self.filter_in(gaussians)), self.filter_out.weight, bias)

    def shifted_bias(self) -> Tensor:
        """Return the bias with the shift of the activation: that saves one pass over the edges."""
        return self.filter_out.bias - math.log(2.0) * self.filter_out.weight.sum(1)

    def filters(self, expansion: Tensor) -> RadialFilters:
        gaussians, envelope = expansion.split([expansion.size(1) - 1, 1], 1)
        hidden = softplus(self.filter_in(gaussians))
        return with_bias(hidden, self.filter_out.weight, self.shifted_bias(), envelope)


class Interaction(torch.nn.Module):
    """One continuous-filter convolution and the update of the nodes it reaches."""

    def __init__(self, features: int, filters: int, gaussians: int) -> None:
        super().__init__()
        self.filters = Filters(filters, gaussians)
        keep_names(self, "filters")
        self.message = torch.nn.Linear(features, filters, bias=False)
        self.update_in = torch.nn.Linear(filters, features)
        self.update_out = torch.nn.Linear(features, features)

    def forward(
        self, x: Tensor, expansion: Tensor, edge_index: Tensor, order: Tensor, n_out: int
    ) -> Tensor:
        """Return the features of the first `n_out` nodes after the layer.

        Shapes: x [M, F], expansion [E, ...], edge_index [2, E]; result [n_out, F].
        """
        received = self.filters.convolve(
            expansion, self.message(x), None, edge_index, order, [0, 0, 0, -1], n_out
        )
        update: Tensor = self.update_out(shifted_softplus(self.update_in(received)))
        return x[:n_out] + update


class SchNet(FeatureModel):
    """Continuous-filter convolutions over interatomic distances.

    The filters have the factor (1 + cos(pi r / cutoff)) / 2, so that energy and force are zero
    where an atom enters or leaves the neighbourhood.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of one convolution (Å).
        layers: number of convolutions.
        features: width of the atomic features.
        gaussians: number of Gaussians that expand a distance, centred on 0 .. cutoff.
        dtype: float type of the weights, float32 or float64.
        filters: width of the convolutions; None for that of the features.
    """

    radial = True
    exact_distances = True

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        layers: int = 3,
        features: int = 64,
        gaussians: int = 32,
        dtype: str = "float64",
        filters: int | None = None,
    ) -> None:
        filters = features if filters is None else filters
        super().__init__(
            species, cutoff, layers, features=features, gaussians=gaussians, filters=filters
        )
        self.embedding = torch.nn.Embedding(len(species), features)
        self.interactions = torch.nn.ModuleList(
            Interaction(features, filters, gaussians) for _ in range(layers)
        )
        self.readout_in = torch.nn.Linear(features, max(features // 2, 1))
        self.readout_out = torch.nn.Linear(max(features // 2, 1), 1)
        self.basis = EnvelopedGaussians(gaussians, cutoff)
        self.to(float_type(dtype))

    def readout(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """[n, width] -> [n, 1]"""
        energies: Tensor = self.readout_out(self.hidden(features))
        return energies

    def hidden(self, features: Tensor) -> Tensor:
        return shifted_softplus(self.readout_in(features))

    @torch.jit.unused
    def last_weights(self) -> list[torch.nn.Parameter]:
        return list(self.readout_out.parameters())

    def node_features(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r = lengths(edge_vectors)
        expansion, order = self.basis(r), self.basis.order(edge_index, species.size(0))
        x: Tensor = self.embedding(species)
        for k, interaction in enumerate(self.interactions):
            n, nodes = edge_counts[-1 - k], node_counts[-2 - k]
            x = interaction(x, expansion[:n], edge_index[:, :n], order, nodes)
        return x
