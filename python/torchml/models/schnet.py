"""SchNet, the message-passing example.

K. T. Schütt, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko and K.-R. Müller,
J. Chem. Phys. 148, 241722 (2018).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchml.models.base import EdgeModel


def shifted_softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x) - ln 2: smooth, and zero at zero."""
    return torch.nn.functional.softplus(x) - math.log(2.0)


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
        filters = self.filter_out(shifted_softplus(self.filter_in(basis))) * envelope
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
        dtype: float type of the weights.
    """

    radial = True

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        layers: int = 3,
        features: int = 64,
        gaussians: int = 32,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__(species, cutoff, layers)
        self.embedding = torch.nn.Embedding(len(species), features)
        self.interactions = torch.nn.ModuleList(
            Interaction(features, gaussians) for _ in range(layers)
        )
        self.readout_in = torch.nn.Linear(features, features // 2)
        self.readout_out = torch.nn.Linear(features // 2, 1)
        self.register_buffer("centers", torch.linspace(0.0, cutoff, gaussians))
        self.gaussian_exponent = -0.5 * ((gaussians - 1) / cutoff) ** 2
        self.to(dtype)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r = torch.linalg.vector_norm(edge_vectors, dim=1).unsqueeze(1)
        basis = torch.exp(self.gaussian_exponent * (r - self.centers).square())
        envelope = 0.5 * (torch.cos(r * (math.pi / self.cutoff)) + 1.0)
        envelope = torch.where(r < self.cutoff, envelope, torch.zeros_like(envelope))

        x = self.embedding(species)
        shell = self.layers
        for interaction in self.interactions:
            shell -= 1
            n = edge_counts[shell]
            x = interaction(x, basis[:n], envelope[:n], edge_index[:, :n], node_counts[shell])
        energies = self.readout_out(shifted_softplus(self.readout_in(x))).squeeze(1)
        # The nodes of the outer shells only passed messages on: they have no energy.
        return torch.nn.functional.pad(energies, [0, species.size(0) - energies.size(0)])
