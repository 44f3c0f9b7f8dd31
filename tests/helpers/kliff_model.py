"""A small graph network as KLIFF's users write it: atomic numbers in, one energy per graph out.

In a module of its own, since TorchScript compiles it from this source.
"""

import torch
from torch import Tensor, nn


class KliffNetwork(nn.Module):
    """Two message-passing layers; convolution l of n uses edge_index{n - 1 - l}."""

    def __init__(self, cutoff: float, features: int = 8) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.embedding = nn.Embedding(20, features)
        self.radial0 = nn.Sequential(nn.Linear(6, features), nn.SiLU())
        self.radial1 = nn.Sequential(nn.Linear(6, features), nn.SiLU())
        self.update0 = nn.Linear(features, features)
        self.update1 = nn.Linear(features, features)
        self.readout = nn.Sequential(
            nn.Linear(features, features), nn.SiLU(), nn.Linear(features, 1)
        )

    def filters(self, coords: Tensor, edge_index: Tensor) -> Tensor:
        r = (coords[edge_index[0]] - coords[edge_index[1]]).square().sum(1).sqrt()
        smooth = 0.5 * (1.0 + torch.cos(torch.pi * r / self.cutoff))
        orders = torch.arange(1, 7, dtype=coords.dtype, device=coords.device)
        return smooth.unsqueeze(1) * torch.sin(r.unsqueeze(1) * orders)

    def forward(
        self,
        z: Tensor,
        coords: Tensor,
        edge_index0: Tensor,
        edge_index1: Tensor,
        contributions: Tensor,
    ) -> Tensor:
        h = self.embedding(z)
        w = self.radial0(self.filters(coords, edge_index1))
        h = h + torch.tanh(
            self.update0(torch.zeros_like(h).index_add(0, edge_index1[1], w * h[edge_index1[0]]))
        )
        w = self.radial1(self.filters(coords, edge_index0))
        h = h + torch.tanh(
            self.update1(torch.zeros_like(h).index_add(0, edge_index0[1], w * h[edge_index0[0]]))
        )
        energies = self.readout(h).squeeze()
        graphs = int(contributions.max().item()) + 1
        sums = torch.zeros(graphs, dtype=h.dtype, device=h.device).index_add(
            0, contributions, energies
        )
        return sums[::2]
