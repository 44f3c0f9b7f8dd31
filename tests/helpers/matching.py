"""A potential in Python that torch.jit.script does not know."""

import torch
from torch import Tensor

from torchml.models import EdgeModel


class Matching(EdgeModel):
    """Pairs of atoms repel each other: E = sum over pairs of strength (1 - (r / cutoff)^2)^3.

    A `match` statement chooses the formula.
    """

    radial = True

    def __init__(self, species: list[str], cutoff: float, kind: str = "smooth") -> None:
        super().__init__(species, cutoff, layers=1)
        self.kind = kind
        self.strength = torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        gap = 1.0 - edge_vectors.square().sum(1) / self.cutoff**2
        match self.kind:
            case "smooth":
                pairs = 0.5 * self.strength * gap**3
            case other:
                raise ValueError(other)
        energies = torch.zeros_like(species, dtype=pairs.dtype)
        return energies.index_add(0, edge_index[1], pairs)
