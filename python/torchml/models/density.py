"""Densities of neighbours in radial functions and harmonics, by an operator of `torchml._core`."""

# TorchScript reads the annotations, so this file must not turn them into strings.
import torch
from torch import Tensor

import torchml._core  # registers the operator  # noqa: F401


def density(
    vectors: Tensor,
    species: Tensor,
    edge_index: Tensor,
    order: Tensor,
    core: Tensor,
    weights: Tensor,
    table: Tensor,
    cutoff: float,
    lmax: int,
    nodes: int,
) -> Tensor:
    """The density of the neighbours of each node, in radial functions, harmonics and channels.

        A[t, lm, c * N + n] = sum over edges e into t of
            weights[species of the source, c] * s(r_e) * g_n(r'_e) * Y_lm(v_e / |v_e|)

    This is the atomic base of Drautz, Phys. Rev. B 99, 014104 (2019). The harmonics are real,
    with sum_m Y_lm^2 = 1 for each l, and row lm = l * l + l + m; m < 0 are of the sine type. The
    core b of the two species is a distance within which neighbours fade: the factor s falls from 1
    at b to 0 at 3/4 b, twice differentiable, and r' is r beyond b, but approaches 0.95 b smoothly
    and stays there below 0.9 b, so that the functions are not extrapolated.

    Of the arguments the vectors alone have derivatives, first and second ones. Those of forces by
    the positions are slow (a hundred times the forces) and are computed only where they are
    requested: train with `loss.backward(inputs=parameters)`.

    Args:
        vectors: source minus target, float64[E, 3] (Å).
        species: of the nodes, i64[M], numbers from 0 to S - 1.
        edge_index: i64[2, E], row 0 source, row 1 target.
        order: `torch.ops.torchml.edge_order(edge_index, M)`.
        core: b of target (row) and source, float64[S, S] (Å); 0: none.
        weights: of the species in the channels, [S, C], float32 or float64.
        table: coefficients of the N functions g as those of `Splines`, [intervals + 5, N], in the
            type of the weights.
        cutoff: where the functions end (Å).
        lmax: the largest degree of the harmonics, 0 to 6.
        nodes: the nodes whose densities are computed are the first ones; at most M.

    Returns:
        [nodes, (lmax + 1)^2, C * N], in the type of the table.
    """
    result: Tensor = torch.ops.torchml.density(
        vectors, species, edge_index, order, core, weights, table, cutoff, lmax, nodes
    )
    return result
