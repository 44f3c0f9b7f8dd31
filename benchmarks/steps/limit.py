"""What the arithmetic of the network costs at the least on this machine, ghosts aside.

The products of matrices at the speed of large square ones, plus the functions that are no products
at the speed of arrays in the cache; nothing for reading and writing memory. On the graph without
ghosts, which folding leaves. Of a compressed network the filters are a spline each: two
multiplications and additions for every of its ten steps, forward and backward.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from ase import Atoms

from steps.pairs import VerletList
from steps.variants import CUTOFF, FEATURES, GAUSSIANS, LAYERS, Variant

SPLINE_FLOP = 20  # for each feature of an edge: cubic and its slope, message and their derivatives


@dataclass(frozen=True)
class Speed:
    """Of one core in one float type.

    product: of square matrices, GFlop/s.
    softplus, sigmoid, exp, mul: ns for one element of an array in the cache.
    """

    product: float
    softplus: float
    sigmoid: float
    exp: float
    mul: float


def measure_speed(dtype: torch.dtype) -> Speed:
    """Measure on one thread; takes a second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        size = 1024
        a, b = torch.rand(2, size, size, dtype=dtype)
        out = torch.empty_like(a)
        product = 2 * size**3 / best(lambda: torch.mm(a, b, out=out), 8) / 1e9
        x = torch.rand(16384, dtype=dtype)
        y = torch.empty_like(x)

        def element(work: Callable[[], object]) -> float:
            return 1e9 * best(work, 200) / len(x)

        return Speed(
            product=product,
            softplus=element(lambda: torch.ops.aten.softplus.out(x, out=y)),
            sigmoid=element(lambda: torch.sigmoid(x, out=y)),
            exp=element(lambda: torch.exp(x, out=y)),
            mul=element(lambda: torch.mul(x, x, out=y)),
        )
    finally:
        torch.set_num_threads(before)


def best(work: Callable[[], object], repetitions: int) -> float:
    """The shortest CPU time of `work`, s."""
    work()
    times = []
    for _ in range(repetitions):
        start = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - start)
    return 1e-9 * min(times)


def edges_of(atoms: Atoms) -> int:
    """Directed edges without ghosts."""
    return int(VerletList(CUTOFF, 0.0).edges(atoms)[0].shape[1])


@dataclass(frozen=True)
class Limit:
    """GFlop of products, and the least time of a step, ms."""

    gflop: float
    products: float
    functions: float

    @property
    def step(self) -> float:
        return self.products + self.functions


def limit_of(variant: Variant, atoms: int, edges: int, speed: Speed) -> Limit:
    """Forward, and backward to the edge vectors, of the SchNet of `variants.py`.

    A product costs two operations for each multiplication and addition, and as much again
    backward, since weights are not differentiated.
    """
    f, g = FEATURES, GAUSSIANS
    forward_and_backward = 2 * 2
    node_flop = forward_and_backward * (LAYERS * 3 * f * f + f * f // 2)
    edge_flop = LAYERS * forward_and_backward * (g * f + f * f)
    node_ns = LAYERS * f * (speed.softplus + speed.sigmoid + 4 * speed.mul)
    # Envelope, product with the neighbour's features, and their derivatives.
    edge_ns = LAYERS * f * (speed.softplus + speed.sigmoid + 8 * speed.mul)
    edge_ns += g * (speed.exp + 4 * speed.mul)
    if variant.compressed:
        edge_flop, edge_ns = LAYERS * f * SPLINE_FLOP, 0.0
    gflop = 1e-9 * (atoms * node_flop + edges * edge_flop)
    return Limit(gflop, 1e3 * gflop / speed.product, 1e-6 * (atoms * node_ns + edges * edge_ns))


def speeds() -> dict[str, Speed]:
    """By dtype."""
    return {name: measure_speed(getattr(torch, name)) for name in ("float64", "float32")}
