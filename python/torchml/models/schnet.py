"""SchNet, the message-passing example.

K. T. Schütt, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko and K.-R. Müller,
J. Chem. Phys. 148, 241722 (2018).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import linear, softplus

from torchml.models.base import EdgeModel, float_type, per_node, require_positive
from torchml.models.perceptron import shifted_softplus
from torchml.models.radial import Gaussians, cosine_envelope, lengths


class Interaction(torch.nn.Module):
    """One continuous-filter convolution and the update of the nodes it reaches."""

    def __init__(self, features: int, gaussians: int) -> None:
        super().__init__()
        self.filter_in = torch.nn.Linear(gaussians, features)
        self.filter_out = torch.nn.Linear(features, features)
        self.message = torch.nn.Linear(features, features, bias=False)
        self.update_in = torch.nn.Linear(features, features)
        self.update_out = torch.nn.Linear(features, features)

    def forward(
        self, x: Tensor, basis: Tensor, envelope: Tensor, edge_index: Tensor, n_out: int
    ) -> Tensor:
        """Features of the first `n_out` nodes after the layer.

        Shapes: x [M, F], basis [E, G], envelope [E, 1], edge_index [2, E]; result [n_out, F].
        """
        # The shift of the activation goes into the bias: one pass less over the edges.
        out = self.filter_out
        bias = out.bias - math.log(2.0) * out.weight.sum(1)
        filters = linear(softplus(self.filter_in(basis)), out.weight, bias) * envelope
        messages = self.message(x).index_select(0, edge_index[0]) * filters
        received = x.new_zeros([n_out, x.size(1)]).index_add(0, edge_index[1], messages)
        update: Tensor = self.update_out(shifted_softplus(self.update_in(received)))
        return x[:n_out] + update


class SchNet(EdgeModel):
    """Continuous-filter convolutions over interatomic distances.

    The filters carry the factor (1 + cos(pi r / cutoff)) / 2, so that an atom enters and leaves
    the neighbourhood with zero energy and zero force.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of one convolution (Å).
        layers: number of convolutions.
        features: width of the atomic features.
        gaussians: number of Gaussians that expand a distance, centred on 0 .. cutoff.
        dtype: float type of the weights, float32 or float64.
    """

    radial = True

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        layers: int = 3,
        features: int = 64,
        gaussians: int = 32,
        dtype: str = "float64",
    ) -> None:
        super().__init__(species, cutoff, layers)
        require_positive(self, features=features, gaussians=gaussians)
        self.width = features
        self.embedding = torch.nn.Embedding(len(species), features)
        self.interactions = torch.nn.ModuleList(
            Interaction(features, gaussians) for _ in range(layers)
        )
        self.readout_in = torch.nn.Linear(features, max(features // 2, 1))
        self.readout_out = torch.nn.Linear(max(features // 2, 1), 1)
        self.basis = Gaussians(gaussians, cutoff)
        self.to(float_type(dtype))

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        x = self.node_features(species, edge_vectors, edge_index, node_counts, edge_counts)
        return per_node(self.readout_out(shifted_softplus(self.readout_in(x))), species)

    def node_features(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r = lengths(edge_vectors)
        basis = self.basis(r)
        envelope = cosine_envelope(r, self.cutoff).unsqueeze(1)
        x: Tensor = self.embedding(species)
        shell = self.layers
        for interaction in self.interactions:
            shell -= 1
            n = edge_counts[shell]
            x = interaction(x, basis[:n], envelope[:n], edge_index[:, :n], node_counts[shell])
        return x
