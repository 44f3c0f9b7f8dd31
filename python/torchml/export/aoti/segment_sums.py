"""Sums over edges in a traced graph, made by `torchml::segment_sum` instead of atomic additions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.symbolic_shapes import statically_known_true

import torchml._core  # noqa: F401  (registers the operator)

aten = torch.ops.aten
_ZEROS = {aten.new_zeros.default, aten.zeros.default, aten.zeros_like.default}


def sum_by_segments(graph: GraphModule) -> int:
    """Rewrite index_add, index_put and scatter_add nodes to torchml::segment_sum, in place.

    These are `index_add` along the first axis, `index_put` with `accumulate` and one index, and
    `scatter_add` whose index is the same along a row. Other nodes stay.

    Args:
        graph: a traced graph.

    Returns:
        The number of rewritten nodes.
    """
    count = 0
    for node in list(graph.graph.nodes):
        found = _index_and_values(node)
        if found is None or not _fits(node.args[0], *found):
            continue
        start, (index, values) = node.args[0], found
        with graph.graph.inserting_before(node):
            nodes = graph.graph.call_function(aten.sym_size.int, (start, 0))
            sums = graph.graph.call_function(
                torch.ops.torchml.segment_sum.default, (values, index, nodes)
            )
            if start.target not in _ZEROS:
                sums = graph.graph.call_function(aten.add.Tensor, (start, sums))
        node.replace_all_uses_with(sums)
        graph.graph.erase_node(node)
        count += 1
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return count


def _index_and_values(node: Node) -> tuple[Node, Node] | None:
    arguments: Any = node.args
    if node.target is aten.index_add.default:
        _, axis, index, values = arguments
        return (index, values) if axis == 0 and node.kwargs.get("alpha", 1) == 1 else None
    if node.target in (aten.index_put.default, aten._unsafe_index_put.default):
        accumulate = arguments[3] if len(arguments) > 3 else node.kwargs.get("accumulate", False)
        indices = arguments[1]
        if accumulate and len(indices) == 1 and indices[0] is not None:
            return indices[0], arguments[2]
    if node.target is aten.scatter_add.default and arguments[1] == 0:
        index = _along_rows(arguments[2], arguments[3])
        return None if index is None else (index, arguments[3])
    return None


def _along_rows(index: Node, values: Node) -> Node | None:
    """The index [E] that `index` repeats to the shape of `values`; None where it does not."""
    whole, terms = _value(index), _value(values)
    if whole is None or terms is None or whole.dim() != terms.dim():
        return None
    pairs = zip(whole.shape, terms.shape, strict=True)
    if not all(statically_known_true(one == other) for one, other in pairs):
        return None
    if whole.dim() == 1:
        return index
    if index.target is not aten.expand.default:
        return None
    inner: Any = index.args[0]
    value = _value(inner)
    if value is None or any(not statically_known_true(n == 1) for n in value.shape[1:]):
        return None
    while inner.target is aten.unsqueeze.default and inner.args[1] in (1, -1):
        inner = inner.args[0]
    value = _value(inner)
    return inner if value is not None and value.dim() == 1 else None


def _value(node: Any) -> Tensor | None:
    value = node.meta.get("val") if isinstance(node, Node) else None
    return value if isinstance(value, Tensor) else None


def _fits(start: Any, index: Node, values: Node) -> bool:
    """[N, ...], [E] and [E, ...] of types that the operator takes."""
    a, b, c = _value(start), _value(index), _value(values)
    if a is None or b is None or c is None or b.dim() != 1 or a.dim() != c.dim() or a.dim() == 0:
        return False
    same = [*zip(a.shape[1:], c.shape[1:], strict=True), (b.shape[0], c.shape[0])]
    return (
        b.dtype == torch.int64
        and a.dtype == c.dtype
        and c.dtype in (torch.float32, torch.float64)
        and all(statically_known_true(one == other) for one, other in same)
    )
