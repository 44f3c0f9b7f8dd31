"""Pairs of edges that meet at an atom."""

from __future__ import annotations

import torch
from torch import Tensor


def edges_into(nodes: Tensor, target: Tensor, n_nodes: int) -> tuple[Tensor, Tensor]:
    """All edges that end at given nodes.

    Args:
        nodes: nodes asked for, i64[Q], in any order and with repetitions.
        target: where the edges end, i64[E], in any order.
        n_nodes: greater than every value of both.

    Returns:
        (query, edge), i64[T] each: `target[edge[t]] == nodes[query[t]]`, sorted by query.
    """
    order = torch.argsort(target)
    counts = torch.bincount(target, minlength=n_nodes)
    ends = counts.cumsum(0)
    found = counts.index_select(0, nodes)
    query = torch.repeat_interleave(found)
    # The t-th result of a query is the t-th edge of its node.
    shift = (ends - counts).index_select(0, nodes) - (found.cumsum(0) - found)
    place = torch.arange(query.size(0), device=target.device) + shift.index_select(0, query)
    return query, order.index_select(0, place)


def edge_pairs(target: Tensor, n_nodes: int) -> tuple[Tensor, Tensor]:
    """Pairs of different edges with the same target, each pair once: i64[T] and i64[T]."""
    one, other = edges_into(target, target, n_nodes)
    keep = torch.nonzero(other < one).squeeze(1)
    return one.index_select(0, keep), other.index_select(0, keep)
