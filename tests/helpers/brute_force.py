"""Neighbours and graphs from all pairs, to test the fast algorithms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def neighbor_matrix(positions: np.ndarray, cutoff: float) -> np.ndarray:
    """bool[N, N]: whether two different atoms are closer than the cutoff."""
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    return (distances < cutoff) & ~np.eye(len(positions), dtype=bool)


@dataclass
class Graphs:
    """The inputs of all conventions for one cluster.

    Attributes:
        raw: (n_neigh, nlist) of the contributing atoms.
        stages: directed edges [2, E_k] that point into the shells 0..k, by the target's shell.
        nodes: original indices of the atoms within the influence distance, by shell.
        edge_index: the last stage in the numbering of `nodes`.
        node_counts, edge_counts: sizes of the prefixes.
    """

    raw: tuple[Tensor, Tensor]
    stages: list[Tensor]
    nodes: Tensor
    edge_index: Tensor
    node_counts: list[int]
    edge_counts: list[int]


def graphs(positions: np.ndarray, contributing: np.ndarray, cutoff: float, layers: int) -> Graphs:
    near = neighbor_matrix(positions, cutoff)
    shell = np.where(contributing, 0, layers + 1)
    for k in range(layers):
        reached = near[shell <= k].any(axis=0)
        shell = np.where(reached & (shell > k), k + 1, shell)

    stages = []
    for k in range(layers):
        edges = [
            (source, target)
            for s in range(k + 1)
            for target in np.flatnonzero(shell == s)
            for source in np.flatnonzero(near[target])
        ]
        stages.append(torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T.contiguous())

    nodes = np.concatenate([np.flatnonzero(shell == s) for s in range(layers + 1)])
    position_of = np.full(len(positions), -1)
    position_of[nodes] = np.arange(len(nodes))
    lists = [np.flatnonzero(near[i]) for i in np.flatnonzero(contributing)]
    return Graphs(
        raw=(
            torch.tensor([len(one) for one in lists], dtype=torch.int32),
            torch.tensor(np.concatenate(lists) if lists else [], dtype=torch.int32),
        ),
        stages=stages,
        nodes=torch.from_numpy(nodes),
        edge_index=torch.from_numpy(position_of)[stages[-1]],
        node_counts=[int((shell <= k).sum()) for k in range(layers + 1)],
        edge_counts=[stage.size(1) for stage in stages],
    )


def evaluate(
    forward,
    convention: str,
    species: Tensor,
    positions: np.ndarray,
    contributing: np.ndarray,
    cutoff: float,
    layers: int,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor]:
    """Energies of the contributing atoms and forces on all atoms, through a scripted `forward`."""
    found = graphs(positions, contributing, cutoff, layers)
    x = torch.tensor(positions, dtype=dtype, requires_grad=True)
    owns = torch.from_numpy(contributing.astype(np.int64))
    if convention == "none":
        energies = forward(species, x, *found.raw, owns)[owns == 1]
    elif convention == "graph":
        energies = forward(species, x, *found.stages, 1 - owns)[owns == 1]
    else:
        local = x[found.nodes]
        vectors = local[found.edge_index[0]] - local[found.edge_index[1]]
        energies = forward(
            species[found.nodes],
            vectors,
            found.edge_index,
            1 - owns[found.nodes],
            found.node_counts,
            found.edge_counts,
        )[: found.node_counts[0]]
    (gradient,) = torch.autograd.grad(energies.sum(), x)
    return energies.detach(), -gradient
