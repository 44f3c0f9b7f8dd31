"""The staged graph from Python against the definition of its edges."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

import torchml
from helpers import portable
from torchml.reference.model import periodic_edges, unfold

CUTOFF, LAYERS = 3.0, 3


def pairs(edges):
    return {tuple(edge) for edge in edges.T.tolist()}


def expected_stages(graph, layers):
    """Directed edges of each stage, from all distances between the particles."""
    distances = np.linalg.norm(graph.coords[:, None] - graph.coords[None], axis=2)
    near = (distances < CUTOFF) & ~np.eye(len(distances), dtype=bool)
    needed = graph.contributing == 0
    stages = []
    for _ in range(layers):
        source, target = np.nonzero(near & needed[None, :])
        stages.append(set(zip(source.tolist(), target.tolist(), strict=True)))
        needed = needed | near[:, needed].any(axis=1)
    return stages


@pytest.mark.parametrize("atoms", [portable.silicon(), portable.cluster()], ids=["cell", "cluster"])
def test_directed_stages_hold_the_edges_into_what_is_needed(atoms):
    graph = torchml.staged_graph(atoms, CUTOFF, LAYERS, directed=True)
    assert [pairs(e) for e in graph.edge_indices] == expected_stages(graph, LAYERS)
    for smaller, larger in zip(graph.edge_indices, graph.edge_indices[1:], strict=False):
        np.testing.assert_array_equal(larger[:, : smaller.shape[1]], smaller)


def test_symmetric_stages_hold_both_directions_once():
    graph = torchml.staged_graph(portable.silicon(), CUTOFF, LAYERS)
    for edges, directed in zip(graph.edge_indices, expected_stages(graph, LAYERS), strict=True):
        assert pairs(edges) == directed | {(j, i) for i, j in directed}
        assert len(pairs(edges)) == edges.shape[1]


def test_a_periodic_cell_unfolds_to_the_same_edges_as_in_the_reference():
    atoms = portable.silicon()
    atoms.wrap()  # which images the atoms are decides which others are reached
    graph = torchml.staged_graph(atoms, CUTOFF, LAYERS, directed=True)
    unfolded = unfold(periodic_edges(atoms, CUTOFF), len(atoms), LAYERS)
    for hop, edges in enumerate(graph.edge_indices):
        assert edges.shape[1] == (unfolded.hops <= hop).sum()


def test_particles_are_described_beside_the_edges():
    atoms = portable.silicon()
    atoms.symbols[3] = "O"
    graph = torchml.staged_graph(atoms, CUTOFF, LAYERS)
    assert len(graph.edge_indices) == LAYERS
    assert all(e.dtype == np.int64 for e in graph.edge_indices)
    assert graph.species.tolist() == atoms.numbers[graph.image_of].tolist()
    assert graph.contributing[: len(atoms)].tolist() == [0] * len(atoms)
    assert (graph.contributing[len(atoms) :] == 1).all()


def test_an_isolated_atom_has_no_edges():
    graph = torchml.staged_graph(Atoms("Si"), CUTOFF, LAYERS)
    assert [e.shape for e in graph.edge_indices] == [(2, 0)] * LAYERS


@pytest.mark.parametrize(("cutoff", "layers"), [(0.0, 1), (-1.0, 1), (float("nan"), 1), (3.0, 0)])
def test_nonsense_is_refused(cutoff, layers):
    with pytest.raises(torchml.TorchMLError, match="expected"):
        torchml.staged_graph(portable.silicon(), cutoff, layers)
