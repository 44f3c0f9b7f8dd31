"""Sums over edges without atomics, and the graphs in which they replace others."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from torchml.export.aoti.segment_sums import sum_by_segments

segment_sum = torch.ops.torchml.segment_sum


def edges(count=500, nodes=40, width=(7,), ascending=False, dtype=torch.float64):
    generator = torch.Generator().manual_seed(count)
    index = torch.randint(0, nodes - 1, (count,), generator=generator)  # the last has no edges
    values = torch.randn(count, *width, generator=generator, dtype=torch.float64).to(dtype)
    return values, index.sort().values if ascending else index, nodes


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("width", [(), (1,), (7,), (64,), (3, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_are_those_of_index_add(ascending, width, dtype):
    values, index, nodes = edges(width=width, ascending=ascending, dtype=dtype)
    found = segment_sum(values, index, nodes)
    expected = torch.zeros(nodes, *width, dtype=dtype).index_add(0, index, values)
    assert torch.equal(found, expected)  # one thread adds in the order of the edges, too


@pytest.mark.parametrize("ascending", [True, False])
def test_threads_change_no_bit(ascending):
    values, index, nodes = edges(50_000, 300, (16,), ascending)
    one = segment_sum(values, index, nodes)
    torch.set_num_threads(2)
    try:
        assert torch.equal(segment_sum(values, index, nodes), one)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("shape", [(0, 0, 4), (0, 3, 4), (5, 3, 0)])
def test_nothing_to_sum(shape):
    count, nodes, width = shape
    sums = segment_sum(torch.ones(count, width), torch.zeros(count, dtype=torch.int64), nodes)
    assert sums.shape == (nodes, width) and (sums == 0).all()


def test_strided_values_and_indices():
    values, index, nodes = edges()
    doubled = torch.stack([index, index], 1)
    found = segment_sum(values.T.contiguous().T, doubled[:, 1], nodes)
    assert torch.equal(found, segment_sum(values, index, nodes))


def test_derivatives_are_differences():
    values, index, nodes = edges(12, 5, (2,))
    values.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: segment_sum(x, index, nodes), values)
    assert torch.autograd.gradgradcheck(lambda x: segment_sum(x, index, nodes).pow(3), values)


@pytest.mark.parametrize(
    ("values", "index", "nodes", "message"),
    [
        (
            torch.ones(2, 3),
            torch.tensor([0, 5]),
            5,
            "edge 1 has its end at node 5, expected 0 to 4",
        ),
        (torch.ones(2, 3), torch.tensor([0, -1]), 5, "edge 1 has its end at node -1"),
        (torch.ones(2, 3), torch.tensor([0]), 5, "does not fit 2 rows"),
        (torch.ones(2), torch.tensor([0, 1], dtype=torch.int32), 5, "expected i64"),
        (torch.ones(2, dtype=torch.int64), torch.tensor([0, 1]), 5, "not a float tensor"),
        (torch.ones(2), torch.tensor([0, 1]), -1, "expected 0 or more"),
    ],
)
def test_what_does_not_fit_is_one_sentence(values, index, nodes, message):
    with pytest.raises(RuntimeError, match=message):
        segment_sum(values, index, nodes)


def by_index_add(start, index, values):
    return start.index_add(0, index, values)


def by_accumulation(start, index, values):
    return start.index_put([index], values, accumulate=True)


def by_scatter(start, index, values):
    return start.scatter_add(0, index.unsqueeze(1).expand(values.shape), values)


def by_zeros(start, index, values):
    return start.new_zeros(start.shape).index_add(0, index, values)


def by_gradient(start, index, values):
    (gradient,) = torch.autograd.grad((start[index] * values).sum(), start)
    return gradient


@pytest.mark.parametrize(
    "function", [by_index_add, by_accumulation, by_scatter, by_zeros, by_gradient]
)
def test_graphs_sum_by_segments(function):
    values, index, nodes = edges()
    start = torch.randn(nodes, 7, dtype=torch.float64).requires_grad_(function is by_gradient)
    graph = make_fx(function, tracing_mode="symbolic")(start, index, values)
    expected = function(start, index, values)
    assert sum_by_segments(graph) == 1
    assert "segment_sum" in graph.code
    torch.testing.assert_close(graph(start, index, values), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "function",
    [
        lambda start, index, values: start.index_add(1, index[:7] % 7, start),
        lambda start, index, values: start.index_add(0, index, values, alpha=2),
        lambda start, index, values: start.index_put([index], values),
        lambda start, index, values: start.index_put([index], values[0], accumulate=True),
        lambda start, index, values: start.scatter_add(0, index[:40].unsqueeze(1) % 3, values[:40]),
        lambda start, index, values: start.index_add(0, index.int(), values),
    ],
)
def test_what_is_not_understood_stays(function):
    values, index, nodes = edges()
    start = torch.randn(nodes, 7, dtype=torch.float64)
    graph = make_fx(function, tracing_mode="symbolic")(start, index, values)
    assert sum_by_segments(graph) == 0
    torch.testing.assert_close(graph(start, index, values), function(start, index, values))
