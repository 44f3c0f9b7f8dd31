"""Energies of a cluster expansion, evaluated by an operator of `torchml._core` in one pass."""

# TorchScript reads the annotations, so this file must not turn them into strings.
import torch
from torch import Tensor

import torchml._core  # registers the operator  # noqa: F401


def cluster_energies(
    vectors: Tensor,
    species: Tensor,
    edge_index: Tensor,
    order: Tensor,
    core: Tensor,
    weights: Tensor,
    table: Tensor,
    mix: Tensor,
    bias: Tensor,
    coefficients: Tensor,
    terms: Tensor,
    outputs: int,
    linear: Tensor,
    layers: list[Tensor],
    crowding: Tensor,
    offset: Tensor,
    vacuum: Tensor,
    cutoff: float,
    lmax: int,
    nodes: int,
) -> Tensor:
    """Energies of atoms as polynomials of the density around them, for simulations.

    With A the density of `torchml.models.density`, for an atom of element z::

        x[lm, k] = sum_q A[lm, q] mix[l, q, k] + (lm == 0) bias[k]
        h[o, k] = sum over terms t of o of  coefficients[z, t, k] prod_f x[f, k]
        energy = linear . h + network(h) + offset[z] - (1 - s(crowding[z] . A[0])) vacuum[z]

    where s(t) = t^3 (10 - 15 t + 6 t^2) up to t = 1 and 1 beyond. Several readouts
    differ in linear, the last layer, offset and vacuum; what is before these is computed once. The
    energies can be differentiated once, by the vectors; the derivatives are computed with the
    energies. Apart from the results, memory does not depend on the number of atoms.

    Args:
        vectors: float64[E, 3], source minus target (Å).
        species: int64[n], codes below S.
        edge_index: int64[2, E], sources and targets.
        order: that of `torch.ops.torchml.edge_order`.
        core: float64[S, S], target and source (Å), see `torchml.models.density`.
        weights: [S, C], float32 or float64, as all that follows.
        table: [intervals + 5, N], splines of the radial functions.
        mix: [lmax + 1, C * N, K].
        bias: [K].
        coefficients: [S, T, K].
        terms: that of `torchml.models.products.term_table`.
        outputs: how many polynomials of each channel there are.
        linear: [outputs * K], or [R, outputs * K] of R readouts, like offset and vacuum.
        layers: weights [out, in] and biases [out] of the layers of a network with silu between
            them, the last with one unit for each readout; none: no network.
        crowding: [S, C * N]; zero: the vacuum counts for all atoms.
        offset: float64[S] or [R, S] (eV).
        vacuum: float64[S] or [R, S] (eV).
        cutoff: of the splines (Å).
        lmax: highest degree of the harmonics, at most 6.
        nodes: atoms whose energy is requested, the first ones.

    Returns:
        float64[nodes] or float64[R, nodes] (eV).
    """
    energies: Tensor = torch.ops.torchml.cluster_energies(
        vectors,
        species,
        edge_index,
        order,
        core,
        weights,
        table,
        mix,
        bias,
        coefficients,
        terms,
        outputs,
        linear,
        layers,
        crowding,
        offset,
        vacuum,
        cutoff,
        lmax,
        nodes,
    )
    return energies
