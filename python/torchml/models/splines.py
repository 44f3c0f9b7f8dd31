"""Functions of the distance as splines, evaluated by operators of `torchml._core`.

The operators are defined in driver/core/operators and registered in the driver and in Python: a
compressed model runs in both.
"""

# TorchScript reads the annotation of the table, so this file must not turn it into a string.
import torch
from torch import Tensor

import torchml._core  # registers the operators  # noqa: F401
from torchml.models.radial import Expansion, RadialFunction


class Distances(Expansion):
    """The distances themselves, in float64, as the argument of splines."""

    compressed = True

    def forward(self, r: Tensor) -> Tensor:
        return r.to(torch.float64)

    def order(self, edge_index: Tensor, nodes: int) -> Tensor:
        order: Tensor = torch.ops.torchml.edge_order(edge_index, nodes)
        return order


class PiecewiseDistances(Distances):
    """An argument of splines that jumps where derivatives of the functions do.

    So no spline reaches from one piece of the distance to the next.

    Args:
        ends: where the pieces end (Å), that of the last one left out.
        begins: the argument at the beginning of each piece.
        slopes: of the argument on each piece.
    """

    def __init__(self, ends: list[float], begins: list[float], slopes: list[float]) -> None:
        super().__init__()
        self.ends = ends
        self.begins = begins
        self.slopes = slopes

    def forward(self, r: Tensor) -> Tensor:
        r = r.to(torch.float64)
        argument = self.begins[0] + r * self.slopes[0]
        for k, end in enumerate(self.ends):
            later = self.begins[k + 1] + (r - end) * self.slopes[k + 1]
            argument = torch.where(r < end, argument, later)
        return argument


class Splines(RadialFunction):
    """Splines of degree five on equal intervals from 0 to the cutoff; zero beyond it.

    Args:
        table: coefficients, float[intervals + 5, K].
        cutoff: the largest argument of `Distances` (Å).
    """

    compressed = True
    table: Tensor

    def __init__(self, table: Tensor, cutoff: float) -> None:
        super().__init__()
        self.register_buffer("table", table)
        self.cutoff = float(cutoff)

    def forward(self, expansion: Tensor) -> Tensor:
        """Distances, float64[E], to values [E, K]."""
        values: Tensor = torch.ops.torchml.spline(
            expansion.to(torch.float64), self.table, self.cutoff
        )
        return values

    def convolve(
        self,
        expansion: Tensor,
        features: Tensor,
        factors: Tensor | None,
        edge_index: Tensor,
        order: Tensor | None,
        terms: list[int],
        nodes: int,
    ) -> Tensor:
        assert order is not None
        sums: Tensor = torch.ops.torchml.convolution(
            expansion.to(torch.float64),
            features,
            factors,
            self.table,
            edge_index,
            order,
            self.cutoff,
            terms,
            nodes,
        )
        return sums
