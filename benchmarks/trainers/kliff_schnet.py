"""SchNet as a user of KLIFF writes it: the sizes of `torchml.models.SchNet`, KLIFF's `forward`.

It is a module because TorchScript compiles it from this source.
"""

import math

import torch
from torch import Tensor, nn

LAYERS, FEATURES, GAUSSIANS, CUTOFF = 3, 64, 32, 4.0


def shifted_softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x) - ln 2."""
    return nn.functional.softplus(x) - math.log(2.0)


class Interaction(nn.Module):
    """One continuous-filter convolution over all nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.filter_in = nn.Linear(GAUSSIANS, FEATURES)
        self.filter_out = nn.Linear(FEATURES, FEATURES)
        self.message = nn.Linear(FEATURES, FEATURES, bias=False)
        self.update_in = nn.Linear(FEATURES, FEATURES)
        self.update_out = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Tensor, basis: Tensor, envelope: Tensor, edge_index: Tensor) -> Tensor:
        filters = self.filter_out(shifted_softplus(self.filter_in(basis))) * envelope
        messages = self.message(x)[edge_index[0]] * filters
        received = torch.zeros_like(x).index_add(0, edge_index[1], messages)
        update: Tensor = self.update_out(shifted_softplus(self.update_in(received)))
        return x + update


class KliffSchNet(nn.Module):
    """Three convolutions on the three stages of KLIFF's graph; one energy per configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, FEATURES)
        self.interaction0 = Interaction()
        self.interaction1 = Interaction()
        self.interaction2 = Interaction()
        self.readout_in = nn.Linear(FEATURES, FEATURES // 2)
        self.readout_out = nn.Linear(FEATURES // 2, 1)
        self.register_buffer("centers", torch.linspace(0.0, CUTOFF, GAUSSIANS))
        self.exponent = -0.5 * ((GAUSSIANS - 1) / CUTOFF) ** 2
        self.double()

    def convolve(self, layer: Interaction, x: Tensor, coords: Tensor, edge_index: Tensor) -> Tensor:
        """One layer over the edges of a stage."""
        vectors = coords[edge_index[0]] - coords[edge_index[1]]
        r = torch.linalg.vector_norm(vectors, dim=1).unsqueeze(1)
        basis = torch.exp(self.exponent * (r - self.centers).square())
        envelope = 0.5 * (torch.cos(r * (math.pi / CUTOFF)) + 1.0)
        result: Tensor = layer(x, basis, envelope, edge_index)
        return result

    def forward(
        self,
        z: Tensor,
        coords: Tensor,
        edge_index0: Tensor,
        edge_index1: Tensor,
        edge_index2: Tensor,
        contributions: Tensor,
    ) -> Tensor:
        x = self.embedding(z)
        x = self.convolve(self.interaction0, x, coords, edge_index2)
        x = self.convolve(self.interaction1, x, coords, edge_index1)
        x = self.convolve(self.interaction2, x, coords, edge_index0)
        energies = self.readout_out(shifted_softplus(self.readout_in(x))).squeeze(1)
        graphs = int(contributions.max().item()) + 1
        sums = torch.zeros(graphs, dtype=x.dtype, device=x.device)
        return sums.index_add(0, contributions, energies)[::2]
