"""Lists of edges as one rank of several has them; needs torch, numpy and the adapters alone.

Atoms of a rank come first, then shells of images, each an atom of its own. Edges end in the shells
that later layers need; none ends in the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass
class Lists:
    """Arguments of `energies`, and which atom of the structure each node is an image of."""

    owners: Tensor
    edge_vectors: Tensor
    edge_index: Tensor
    node_counts: list[int]
    edge_counts: list[int]


def staged(
    positions: np.ndarray, edges: tuple[Tensor, Tensor], atoms: list[int], layers: int
) -> Lists:
    """The lists of a rank.

    Args:
        positions: of all atoms (Å).
        edges: vectors and edge index of the whole structure, with periodic images.
        atoms: those of the rank.
        layers: passes over the edges.
    """
    vectors, index = edges[0].numpy(), edges[1].numpy()
    nodes = [(atom, positions[atom]) for atom in atoms]
    places = {_key(*node): place for place, node in enumerate(nodes)}
    node_counts, edge_counts, found = [len(nodes)], [], []
    done = 0
    for _ in range(layers):
        for target in range(done, node_counts[-1]):
            atom, position = nodes[target]
            for edge in np.nonzero(index[1] == atom)[0]:
                source = (int(index[0, edge]), position + vectors[edge])
                place = places.setdefault(_key(*source), len(nodes))
                if place == len(nodes):
                    nodes.append(source)
                found.append((place, target, edge))
        done = node_counts[-1]
        node_counts.append(len(nodes))
        edge_counts.append(len(found))
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    return Lists(
        torch.tensor([atom for atom, _ in nodes]),
        edges[0][torch.from_numpy(table[:, 2])],
        torch.from_numpy(table[:, :2].T.copy()),
        node_counts,
        edge_counts,
    )


def difference(
    source: Any, structure: Any, edges: tuple[Tensor, Tensor], kind: torch.dtype
) -> float:
    """Largest difference of energies and forces between one rank and two.

    Args:
        source: what the adapter's `open_model` returns.
        structure: with `symbols` and `positions`.
        edges: vectors and edge index of the structure.
        kind: float type.
    """
    number = len(structure.symbols)
    codes = torch.tensor([source.species.index(one) for one in structure.symbols])
    all_nodes, all_edges = [number] * (source.layers + 1), [len(edges[0])] * source.layers
    whole = Lists(torch.arange(number), *edges, all_nodes, all_edges)
    energies, forces = _evaluated(source, codes, whole, kind)
    parts = [list(range(start, number, 2)) for start in (0, 1)]
    sums, split = torch.zeros_like(forces), torch.zeros_like(energies)
    for atoms in parts:
        lists = staged(structure.positions, edges, atoms, source.layers)
        split[atoms], part = _evaluated(source, codes, lists, kind)
        sums += part
    return float(max((split - energies).abs().max(), (sums - forces).abs().max()))


def _evaluated(
    source: Any, codes: Tensor, lists: Lists, kind: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Energies of the rank's atoms, and what they contribute to the forces on all atoms."""
    leaf = lists.edge_vectors.to(kind, copy=True).requires_grad_()
    energies = source.energies(
        codes[lists.owners], leaf, lists.edge_index, lists.node_counts, lists.edge_counts
    )[: lists.node_counts[0]]
    (gradient,) = torch.autograd.grad(energies.sum(), leaf)
    ends = lists.owners[lists.edge_index]
    forces = torch.zeros(len(codes), 3, dtype=kind)
    forces.index_add_(0, ends[1], gradient).index_add_(0, ends[0], -gradient)
    return energies.detach(), forces


def _key(atom: int, position: np.ndarray) -> tuple[Any, ...]:
    return (atom, *np.round(position, 5))
