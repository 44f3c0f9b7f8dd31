"""Stillinger-Weber potential of silicon, with published reference values.

F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985). The default constants are those of
OpenKIM's `SW_StillingerWeber_1985_Si__MO_405512056662_005`, with the energy and length units of
the paper (epsilon = 2.1682 eV, sigma = 2.0951 Å) multiplied in.
"""

import torch
from torch import Tensor

from torchml.models.base import EdgeModel, float_type


class StillingerWeber(EdgeModel):
    """Two- and three-body potential of one species.

    With r the distance of a pair, a the cutoff and theta the angle at the central atom::

        E  = 1/2 sum_ij  A (B (sigma/r)^p - (sigma/r)^q) exp(sigma / (r - a))
           + sum_i sum_{j<k}  lambda g_ij g_ik (cos theta_jik - cos theta_0)^2
        g  = exp(gamma / (r - a))

    The sum over pairs (j, k) is computed as a square. With the unit vectors u_j::

        sum_jk g_j g_k (u_j . u_k - c)^2 = |sum_j g_j u_j u_j^T|^2 - 2 c |sum_j g_j u_j|^2
                                         + c^2 (sum_j g_j)^2

    so the three-body energy costs one pass over the edges for any number of neighbours.

    Args:
        A: strength of the pair term (eV).
        B: weight of the repulsion.
        p: exponent of the repulsion.
        q: exponent of the attraction.
        sigma: length of the pair term (Å).
        lam: strength of the three-body term (eV).
        gamma: decay length of the three-body term (Å).
        cos_theta0: cosine of the preferred angle.
        cutoff: where all terms and all their derivatives vanish (Å).
        species: the chemical symbol of the element.
        dtype: float type of the constants and so of the model, float32 or float64.
    """

    # TorchScript reads these annotations, so this file must not turn them into strings.
    # Buffers rather than numbers: they move between devices and dtypes with the model.
    A: Tensor
    B: Tensor
    sigma: Tensor
    lam: Tensor
    gamma: Tensor
    c0: Tensor

    def __init__(
        self,
        A: float = 15.2848479197914,
        B: float = 0.6022245584,
        p: float = 4.0,
        q: float = 0.0,
        sigma: float = 2.0951,
        lam: float = 45.5322,
        gamma: float = 2.51412,
        cos_theta0: float = -0.3333333333333333,
        cutoff: float = 3.77118,
        species: str = "Si",
        dtype: str = "float64",
    ) -> None:
        super().__init__([species], cutoff, layers=1)
        self.p = float(p)
        self.q = float(q)
        constants = {"A": A, "B": B, "sigma": sigma, "lam": lam, "gamma": gamma, "c0": cos_theta0}
        for name, value in constants.items():
            self.register_buffer(name, torch.tensor(value, dtype=float_type(dtype)))

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        n_nodes = species.size(0)
        target = edge_index[1]
        r = torch.linalg.vector_norm(edge_vectors, dim=1)
        unit = edge_vectors / r.unsqueeze(1)

        # exp(-length / gap) and every derivative are zero long before the gap is: below 1e-3 Å the
        # exponential underflows. `where` sets zero there, because 0 * inf = NaN in the gradient.
        gap = self.cutoff - r
        inside = gap > 1e-3
        gap = torch.where(inside, gap, torch.ones_like(gap))
        zero = torch.zeros_like(gap)

        ratio = self.sigma / r
        pair = self.A * (self.B * ratio.pow(self.p) - ratio.pow(self.q))
        pair = torch.where(inside, pair * torch.exp(-self.sigma / gap), zero)
        g = torch.where(inside, torch.exp(-self.gamma / gap), zero)

        weighted = g.unsqueeze(1) * unit
        outer = (weighted.unsqueeze(2) * unit.unsqueeze(1)).flatten(1)
        # Columns: pair energy, g, g^2, g u (3), g u u^T (9); summed over the edges of each target.
        terms = torch.cat([torch.stack([pair, g, g * g], dim=1), weighted, outer], dim=1)
        sums = terms.new_zeros([n_nodes, 15]).index_add(0, target, terms)

        squares = (
            sums[:, 6:].square().sum(1)
            - 2.0 * self.c0 * sums[:, 3:6].square().sum(1)
            + self.c0.square() * sums[:, 1].square()
        )
        pairs_with_itself = (1.0 - self.c0).square() * sums[:, 2]
        three_body = 0.5 * self.lam * (squares - pairs_with_itself)
        return 0.5 * sums[:, 0] + three_body
