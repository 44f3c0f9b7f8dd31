"""The operators of torchml._core against the same sums written out in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

import torchml._core  # noqa: F401  (registers them)
from helpers.instruction_sets import check_instruction_sets
from torchml.models.radial import RadialFunction

operators = torch.ops.torchml
CUTOFF = 3.0
INTERVALS = 8
NODES = 9
SIMPLE = [0, 0, 0, -1]
# Rows that are read and written several times, two parts of the filter, factors and none.
MIXED = [0, 0, 0, -1, 1, 1, 1, 0, 1, 0, 0, 2, 2, 2, 1, -1, 3, 2, 0, 1]


def table_of(width, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(INTERVALS + 5, width, generator=generator, dtype=torch.float64)
    return table.to(dtype)


class Written(RadialFunction):
    """The splines by scipy, for the sums that `RadialFunction` makes of any function."""

    def __init__(self, table):
        super().__init__()
        spacing = CUTOFF / INTERVALS
        knots = (np.arange(INTERVALS + 11) - 5) * spacing
        self.spline = BSpline(knots, table.double().numpy(), 5, extrapolate=False)

    def forward(self, r):
        class Values(torch.autograd.Function):
            @staticmethod
            def forward(ctx, r):
                ctx.r = r
                return self.at(r, 0)

            @staticmethod
            def backward(ctx, gradient):
                return (gradient * self.at(ctx.r, 1)).sum(1)

        return Values.apply(r)

    def at(self, r, derivative):
        r = r.detach().numpy()
        values = self.spline(np.minimum(r, CUTOFF * (1 - 1e-15)), nu=derivative)
        return torch.tensor(np.where(r[:, None] < CUTOFF, values, 0.0))


def graph(edges=40, sort=True, seed=1, dtype=torch.float64, terms=SIMPLE, width=5):
    """r, features, factors, table, edge_index of random edges, some beyond the cutoff."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    index = torch.randint(0, NODES - 1, (2, edges), generator=generator)  # the last has no edges
    if sort:
        index = index[:, torch.argsort(index[1], stable=True)]
    r = torch.rand(edges, generator=generator, dtype=torch.float64) * CUTOFF * 1.1
    rows, parts = max(terms[1::4]) + 1, max(terms[2::4]) + 1
    factors = random(edges, 3) if max(terms[3::4]) >= 0 else None
    return r, random(NODES, rows * width), factors, table_of(parts * width, dtype), index


def fused(r, features, factors, table, index, terms, nodes=NODES, order=None):
    order = operators.edge_order(index, NODES) if order is None else order
    edges = index[:, : len(r)]
    return operators.convolution(r, features, factors, table, edges, order, CUTOFF, terms, nodes)


def test_splines_are_those_of_scipy():
    table = table_of(7)
    r = torch.cat(
        [
            torch.linspace(0, CUTOFF, 4 * INTERVALS + 1, dtype=torch.float64),  # knots among them
            torch.tensor([1e-12, CUTOFF - 1e-12, CUTOFF + 1e-12, 2 * CUTOFF]).double(),
        ]
    ).requires_grad_()
    values, expected = operators.spline(r, table, CUTOFF), Written(table)
    torch.testing.assert_close(values, expected.at(r, 0), rtol=1e-12, atol=1e-12)
    weights = torch.randn(values.shape, dtype=torch.float64)
    (slopes,) = torch.autograd.grad(values, r, weights)
    torch.testing.assert_close(slopes, (weights * expected.at(r, 1)).sum(1), rtol=1e-11, atol=1e-11)
    beyond = r >= CUTOFF
    assert (values[beyond] == 0).all() and (slopes[beyond] == 0).all()


def test_splines_have_smooth_derivatives():
    table = table_of(3)
    r = (torch.rand(20, dtype=torch.float64) * CUTOFF).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: operators.spline(r, table, CUTOFF), r)


def test_a_distance_that_is_no_number_spoils_the_values():
    r = torch.tensor([1.0, float("nan")], dtype=torch.float64)
    values = operators.spline(r, table_of(3), CUTOFF)
    assert values[0].isfinite().all() and values[1].isnan().all()


@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("terms", [SIMPLE, MIXED])
def test_sums_and_derivatives_are_those_written_out(terms, sort):
    r, features, factors, table, index = graph(sort=sort, terms=terms)
    leaves = [one.requires_grad_() for one in (r, features, factors) if one is not None]
    found = fused(r, features, factors, table, index, terms)
    expected = Written(table).convolve(r, features, factors, index, None, terms, NODES)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    assert (found[-1] == 0).all()  # the node without edges
    weights = torch.randn(found.shape, dtype=torch.float64)
    ours = torch.autograd.grad(found, leaves, weights)
    for one, other in zip(ours, torch.autograd.grad(expected, leaves, weights), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("terms", [SIMPLE, MIXED])
def test_derivatives_are_differences(terms):
    r, features, factors, table, index = graph(edges=12, terms=terms, width=2)
    r = (r * 0.9).clamp(max=0.98 * CUTOFF)
    leaves = [one.requires_grad_() for one in (r, features, factors) if one is not None]

    def sums(r, features, factors=None):
        return fused(r, features, factors, table, index, terms)

    assert torch.autograd.gradcheck(sums, leaves)


def test_single_precision_is_double_precision_rounded():
    exact = graph(terms=MIXED, width=33)
    r, features, factors, table, index = exact
    rounded = (r, features.float(), factors.float(), table.float(), index)
    results = []
    for r, features, factors, table, index in (exact, rounded):
        leaves = [r.detach().requires_grad_(), features.requires_grad_(), factors.requires_grad_()]
        sums = fused(*leaves, table, index, MIXED)
        results.append([sums, *torch.autograd.grad(sums.square().sum(), leaves)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other.double(), one.double(), rtol=2e-4, atol=2e-3)
    assert results[1][1].dtype == torch.float64  # derivatives by the distances


def test_a_layer_may_take_the_first_edges_and_nodes():
    r, features, factors, table, index = graph(terms=MIXED)
    nodes = 5
    edges = int((index[1] < nodes).sum())
    order = operators.edge_order(index, NODES)
    whole = [one.detach().requires_grad_() for one in (r, features, factors)]
    part = [one.detach().requires_grad_() for one in (r[:edges], features, factors[:edges])]
    expected = fused(*whole, table, index, MIXED, order=order)[:nodes]
    found = fused(*part, table, index, MIXED, nodes, order)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    weights = torch.randn(found.shape, dtype=torch.float64)
    ours = torch.autograd.grad(found, part, weights)
    others = torch.autograd.grad(expected, whole, weights)
    for one, other in zip(ours, others, strict=True):
        torch.testing.assert_close(one, other[: len(one)], rtol=0, atol=0)


@pytest.mark.parametrize("nodes", [0, 3])
def test_no_edges(nodes):
    r = torch.zeros(0, dtype=torch.float64, requires_grad=True)
    features = torch.ones(nodes, 4, dtype=torch.float64, requires_grad=True)
    index = torch.zeros(2, 0, dtype=torch.int64)
    order = operators.edge_order(index, nodes)
    sums = operators.convolution(
        r, features, None, table_of(4), index, order, CUTOFF, SIMPLE, nodes
    )
    assert sums.shape == (nodes, 4) and (sums == 0).all()
    to_r, to_features = torch.autograd.grad(sums.sum(), (r, features))
    assert to_r.shape == (0,) and (to_features == 0).all()


def test_threads_change_no_bit():
    r, features, factors, table, index = graph(edges=20_000, terms=MIXED, width=16)

    def results(threads):
        torch.set_num_threads(threads)
        leaves = [one.detach().requires_grad_() for one in (r, features, factors)]
        sums = fused(*leaves, table, index, MIXED)
        return [sums, *torch.autograd.grad(sums.square().sum(), leaves)]

    try:
        for one, other in zip(results(1), results(2), strict=True):
            assert torch.equal(one, other)
    finally:
        torch.set_num_threads(1)


SETS = """
import sys, torch, torchml._core
torch.manual_seed(0)
r, index = torch.rand(50).double() * 3, torch.randint(0, 6, (2, 50))
x, table = torch.randn(6, 35).double().requires_grad_(), torch.randn(20, 35).double()
order = torch.ops.torchml.edge_order(index, 6)
r.requires_grad_()
sums = torch.ops.torchml.convolution(r, x, None, table, index, order, 2.5, [0, 0, 0, -1], 6)
results = [sums, *torch.autograd.grad(sums.square().sum(), (r, x))]
x, c = (torch.randn(2, 3, 21).double().requires_grad_() for _ in range(2))
terms = torch.tensor([[0, 0, 1, -1], [1, 0, 2, 2], [1, 2, -1, -1]]).int()
products = torch.ops.torchml.products(x, torch.tensor([0, 1]), c, terms, 2)
first = torch.autograd.grad(products.square().sum(), (x, c), create_graph=True)
second = torch.autograd.grad(first[0].square().sum(), (x, c))
results += [products, *first, *second]
v, s = torch.randn(50, 3).double().requires_grad_(), torch.arange(6) % 2
core, w = torch.full((2, 2), 0.8).double(), torch.randn(2, 2).double()
density = torch.ops.torchml.density(v, s, index, order, core, w, table[:, :11], 2.5, 4, 6)
g = density.detach().requires_grad_()
(first,) = torch.autograd.grad(density, v, g, create_graph=True)
results += [density, first, *torch.autograd.grad(first.square().sum(), g)]
torch.save([one.detach() for one in results], sys.argv[1])
"""


def test_all_instruction_sets_agree(tmp_path):
    check_instruction_sets(SETS, tmp_path)


def test_shapes_without_numbers():
    r, features, factors, table, index = (one.to("meta") for one in graph(terms=MIXED))
    order = operators.edge_order(index, NODES)
    assert order.shape == operators.edge_order(graph()[4], NODES).shape
    leaves = [one.requires_grad_() for one in (r, features, factors)]
    sums = operators.convolution(*leaves, table, index, order, CUTOFF, MIXED, 4)
    assert sums.shape == (4, 4 * 5)
    for leaf, gradient in zip(leaves, torch.autograd.grad(sums.sum(), leaves), strict=True):
        assert gradient.shape == leaf.shape and gradient.dtype == leaf.dtype


def test_second_derivatives_are_refused():
    r, features, factors, table, index = graph()
    r.requires_grad_()
    sums = fused(r, features, factors, table, index, SIMPLE)
    (first,) = torch.autograd.grad(sums.square().sum(), r, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives of a compressed model"):
        torch.autograd.grad(first.sum(), r)


def damaged(change):
    r, features, factors, table, index = graph(terms=MIXED)
    order = operators.edge_order(index, NODES)
    arguments = {
        "r": r, "features": features, "factors": factors, "table": table, "edge_index": index,
        "order": order, "cutoff": CUTOFF, "terms": MIXED, "nodes": NODES,
    }  # fmt: skip
    return list((arguments | change(arguments)).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"r": a["r"].float()}, "not a vector of float64"),
        (lambda a: {"table": a["table"][:4]}, r"the form \[intervals \+ 5, K\]"),
        (lambda a: {"table": a["table"][:, :-1]}, "multiple of the 2 parts"),
        (lambda a: {"features": a["features"].float()}, "features do not fit"),
        (lambda a: {"features": a["features"][:3]}, "an edge comes from a node beyond the 3"),
        (lambda a: {"factors": None}, "factors do not fit"),
        (lambda a: {"terms": [0, 0, 0]}, "expected four for each"),
        (lambda a: {"terms": [0, 0, -1, 0]}, "negative row or part"),
        (lambda a: {"order": a["order"][1:]}, "expected what torchml::edge_order makes"),
        (lambda a: {"nodes": NODES + 1}, "expected at most 9"),
        (lambda a: {"cutoff": -1.0}, "cutoff is not positive"),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, message):
    with pytest.raises(RuntimeError, match=message):
        operators.convolution(*damaged(change))


def test_edges_between_nodes_that_are_not_there():
    with pytest.raises(RuntimeError, match="edge 1 has an end at node 7, expected 0 to 4"):
        operators.edge_order(torch.tensor([[0, 7], [1, 1]]), 5)
