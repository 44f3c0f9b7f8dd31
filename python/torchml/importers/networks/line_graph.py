"""Edges as nodes of a graph: opposite edges, and the angles between edges that meet."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchml.models.pairs import edges_into


class LineGraph(NamedTuple):
    """The short edges, and what connects two of them.

    Those of the first n edges that are updated come first in all lists.

    Attributes:
        place: of the short edges among all edges, i64[S].
        node: where an updated edge ends, i64[n].
        first: one edge of an angle, an updated one, i64[T]; sorted.
        second: the other edge, which ends at the same node, i64[T].
        edge: an updated edge that has a reverse, i64[P]; sorted.
        reverse: its reverse, i64[P].
    """

    place: Tensor
    node: Tensor
    first: Tensor
    second: Tensor
    edge: Tensor
    reverse: Tensor


def short_edges(
    r: Tensor, edge_index: Tensor, node_counts: list[int], cutoff: float
) -> tuple[Tensor, list[int]]:
    """Edges shorter than the cutoff, sorted by the inner one of the shells of their ends.

    Returns:
        Their places, i64[S], and `inner[k]`: so many have an end in the shells 0 to k.
    """
    place = torch.nonzero(r.detach() < cutoff).squeeze(1)
    nearest = edge_index.index_select(1, place).amin(0)
    ends = torch.tensor(node_counts[:-1], device=r.device)
    shell = torch.searchsorted(ends, nearest, right=True)
    inner: list[int] = torch.bincount(shell, minlength=len(node_counts)).cumsum(0).tolist()
    return place.index_select(0, torch.argsort(shell, stable=True)), inner


def line_graph(
    place: Tensor, vectors: Tensor, edge_index: Tensor, n_nodes: int, count: int
) -> LineGraph:
    """The graph of short edges, of which the first `count` are updated.

    Args:
        place: of the short edges, i64[S].
        vectors: of the short edges, [S, 3].
        edge_index: of all edges, i64[2, E].
        n_nodes: number of nodes.
        count: number of edges to update.
    """
    source = edge_index[0].index_select(0, place[:count])
    target = edge_index[1].index_select(0, place)
    edge, reverse = opposite(vectors.detach(), source, target, n_nodes)
    first, second = edges_into(target[:count], target, n_nodes)
    others = torch.nonzero(first != second).squeeze(1)
    first, second = first.index_select(0, others), second.index_select(0, others)
    return LineGraph(place, target[:count], first, second, edge, reverse)


def updating(lines: LineGraph, count: int) -> LineGraph:
    """The graph in which only the first `count` edges are updated."""
    angles = int(torch.searchsorted(lines.first, count))
    pairs = int(torch.searchsorted(lines.edge, count))
    return LineGraph(
        lines.place,
        lines.node[:count],
        lines.first[:angles],
        lines.second[:angles],
        lines.edge[:pairs],
        lines.reverse[:pairs],
    )


def opposite(
    vectors: Tensor, source: Tensor, target: Tensor, n_nodes: int
) -> tuple[Tensor, Tensor]:
    """Pairs of an edge, one of the first, and its reverse, sorted by the edge.

    Args:
        vectors: of all edges, [S, 3].
        source: of the first edges.
        target: of all edges, i64[S].
        n_nodes: number of nodes.
    """
    edge, other = edges_into(source, target, n_nodes)
    apart = (vectors.index_select(0, edge) + vectors.index_select(0, other)).square().sum(1)
    # No two atoms are within 0.001 Å, so only a reverse leads back to where its edge begins.
    keep = torch.nonzero(apart < 1e-6).squeeze(1)
    return edge.index_select(0, keep), other.index_select(0, keep)
