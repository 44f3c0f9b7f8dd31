"""Pairs of edges that meet at an atom."""

from __future__ import annotations

import torch
from torch import Tensor


def edges_into(nodes: Tensor, target: Tensor, n_nodes: int) -> tuple[Tensor, Tensor]:
    """Find all edges that end at the given nodes.

    Args:
        nodes: the nodes, i64[Q], in any order and with repetitions.
        target: node at the end of each edge, i64[E], in any order.
        n_nodes: number of nodes, greater than every value of both.

    Returns:
        (query, edge), i64[T] each: `target[edge[t]] == nodes[query[t]]`, sorted by query.
    """
    order = torch.argsort(target)
    counts = torch.bincount(target, minlength=n_nodes)
    ends = counts.cumsum(0)
    degrees = counts.index_select(0, nodes)
    query = torch.repeat_interleave(degrees)
    # The t-th result of a query is the t-th edge of its node.
    shift = (ends - counts).index_select(0, nodes) - (degrees.cumsum(0) - degrees)
    place = torch.arange(query.size(0), device=target.device) + shift.index_select(0, query)
    return query, order.index_select(0, place)


def edge_pairs(target: Tensor, n_nodes: int) -> tuple[Tensor, Tensor]:
    """Return the pairs of different edges with the same target, each once: i64[T] twice."""
    one, other = edges_into(target, target, n_nodes)
    keep = torch.nonzero(other < one).squeeze(1)
    return one.index_select(0, keep), other.index_select(0, keep)
