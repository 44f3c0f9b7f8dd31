"""The network that takes the weights of CHGNet: invariant, smooth, local, whatever the lists."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from helpers.brute_force import graphs
from helpers.chgnet_plans import random_plan
from helpers.networks import cluster, edges_of, energies, free_energies
from torchml.errors import ModelError
from torchml.export.aoti.compilation import compile_module
from torchml.export.aoti.tracing import trace
from torchml.export.checks.edge_vectors import check_radial
from torchml.export.compression import compress
from torchml.importers.networks.chgnet import build
from torchml.models import describe, script

SPECIES = ["Si", "O"]
CUTOFF, BOND_CUTOFF = 3.0, 2.0
VARIANTS = {
    "layer norms": {},
    "biases": {"biases": True, "angle_hidden": (6,)},
    "norms of bonds": {"biases": True, "bond_norm": True, "hidden": (7, 6)},
    "no hidden layers": {"hidden": (), "layers": 2},
}
EACH = pytest.mark.parametrize("name", VARIANTS)


def make(name="layer norms", **options):
    return build(random_plan(SPECIES, **{**VARIANTS[name], **options}))


def forces(model, codes, positions, edge_index, shifts=0.0):
    """Energy of all atoms, and its negative derivative."""
    x = positions.clone().requires_grad_()
    energy = energies(model, codes, x, edge_index, shifts).sum()
    return energy.detach(), -torch.autograd.grad(energy, x)[0]


@EACH
def test_energies_follow_rotations_and_permutations(name):
    model, x, codes = make(name), torch.tensor(cluster()), torch.arange(20) % 2
    expected = free_energies(model, codes, x)
    turn = torch.tensor(np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0])
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    for moved in (x @ turn, x @ -turn):
        torch.testing.assert_close(free_energies(model, codes, moved), expected, rtol=0, atol=1e-11)
    permuted = free_energies(model, codes[order], x[order])
    torch.testing.assert_close(permuted, expected[order], rtol=0, atol=1e-11)
    edge_index, _ = edges_of(Atoms(positions=x.numpy()), CUTOFF)
    mixed = edge_index[:, torch.randperm(edge_index.size(1))]
    found = energies(model, codes, x, mixed)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


@EACH
def test_forces_are_derivatives(name):
    model = make(name)
    x = torch.tensor(cluster(6, 2.8, seed=4), requires_grad=True)
    edge_index, _ = edges_of(Atoms(positions=x.detach().numpy()), CUTOFF)

    def energy(positions):
        return energies(model, torch.arange(6) % 2, positions, edge_index).sum()

    assert torch.autograd.gradcheck(energy, (x,), atol=1e-6, rtol=1e-4)


@EACH
def test_angles_change_energies(name):
    """Two bonds of fixed lengths: a third atom beyond both cutoffs of its pair."""
    model = make(name)

    def energy(angle, length):
        x = [[0, 0, 0], [length, 0, 0], [length * np.cos(angle), length * np.sin(angle), 0]]
        return free_energies(model, torch.zeros(3, dtype=torch.int64), torch.tensor(x)).sum()

    assert abs(energy(2.5, 1.6) - energy(2.9, 1.6)) > 1e-5
    assert abs(energy(2.5, 2.1) - energy(2.9, 2.1)) < 1e-12  # bonds too long for angles


@EACH
@pytest.mark.parametrize("end", [BOND_CUTOFF, CUTOFF])
def test_forces_are_continuous_at_both_cutoffs(name, end):
    model, codes = make(name), torch.arange(11) % 2
    rng = np.random.default_rng(5)
    others = rng.normal(size=(9, 3))
    others *= rng.uniform(1.3, 2.6, (9, 1)) / np.linalg.norm(others, axis=1)[:, None]

    def at(distance):
        x = torch.tensor(np.vstack([np.zeros(3), [distance, 0, 0], others]))
        return forces(model, codes, x, edges_of(Atoms(positions=x.numpy()), CUTOFF)[0])

    (energy, force), (beyond, force_beyond) = at(end - 1e-6), at(end + 1e-6)
    assert abs(energy - beyond) < 1e-4 * 1e-1
    assert (force - force_beyond).abs().max() < 1e-3
    (_, inside), (_, outside) = at(end - 1e-4), at(end + 1e-4)
    assert (inside - outside).abs().max() < 3e-2  # first order: no jump


@EACH
def test_prefixes_give_the_energies_of_the_whole_graph(name):
    """Edges into the last shell are left out: bonds there have no reverse."""
    model = make(name)
    positions = cluster(130, 10.0, seed=3)
    contributing = np.linalg.norm(positions, axis=1) < 3.5
    found = graphs(positions, contributing, CUTOFF, model.layers)
    counts = [*found.node_counts, len(positions)]
    assert all(a < b for a, b in itertools.pairwise(counts))
    codes, x = torch.arange(len(positions)) % 2, torch.tensor(positions)
    local = x[found.nodes]
    vectors = (local[found.edge_index[0]] - local[found.edge_index[1]]).requires_grad_()
    arguments = (codes[found.nodes], vectors, found.edge_index)
    own = found.node_counts[0]
    everything = [len(found.nodes)] * len(found.node_counts), [vectors.size(0)] * model.layers
    expected = free_energies(model, codes, x)[contributing]
    for counted in ((found.node_counts, found.edge_counts), everything):
        energy = model(*arguments, *counted)
        assert len(energy) == len(found.nodes)
        torch.testing.assert_close(energy[:own], expected, rtol=0, atol=1e-11)
    by_edge = torch.autograd.grad(energy[:own].sum(), vectors)[0]
    x.requires_grad_()
    by_atom = torch.autograd.grad(free_energies(model, codes, x)[contributing].sum(), x)[0]
    sums = torch.zeros_like(local).index_add(0, found.edge_index[0], by_edge)
    sums = sums.index_add(0, found.edge_index[1], -by_edge)
    torch.testing.assert_close(sums, by_atom[found.nodes], rtol=0, atol=1e-10)


def test_prefixes_are_all_that_a_layer_sees():
    """Nodes and edges behind a layer's prefix may be anything."""
    model = make()
    positions = cluster(130, 10.0, seed=3)
    found = graphs(positions, np.linalg.norm(positions, axis=1) < 3.5, CUTOFF, model.layers)
    local = torch.tensor(positions)[found.nodes]
    calls = []
    for block in model.network.blocks:
        block.atoms.register_forward_hook(lambda _, given, result: calls.append((given, result)))
    vectors = local[found.edge_index[0]] - local[found.edge_index[1]]
    model(found.nodes % 2, vectors, found.edge_index, found.node_counts, found.edge_counts)
    assert [given[3].size(1) for given, _ in calls] == found.edge_counts[::-1]
    assert [len(result) for _, result in calls] == found.node_counts[-2::-1]


def test_an_atom_feels_as_many_hops_as_layers():
    model = make()
    x = torch.tensor([[1.9 * k, 0.3 * (k % 2), 0.0] for k in range(6)]).double().requires_grad_()
    first = free_energies(model, torch.zeros(6, dtype=torch.int64), x)[0]
    felt = torch.autograd.grad(first, x)[0].abs().amax(1)
    assert felt[model.layers] > 1e-12
    assert not felt[model.layers + 1 :].any()


@EACH
@pytest.mark.parametrize("atoms", ["one", "two"])
def test_small_cells_with_many_images_of_a_pair(name, atoms):
    """Energies and forces of a primitive cell are those of its atoms in a large one."""
    model = make(name)
    if atoms == "one":
        cell = bulk("Si", "sc", 1.7)
    else:
        cell = bulk("SiO", "zincblende", 3.6)
        cell.positions[1] += [0.1, -0.05, 0.07]
    cell.set_cell(cell.cell.array @ [[1, 0, 0], [0.05, 1, 0], [0, 0.08, 1.03]], scale_atoms=True)
    large = cell * (4, 4, 4)
    assert len(edges_of(cell, CUTOFF)[0].unique(dim=1)[0]) < edges_of(cell, CUTOFF)[0].size(1)
    found = []
    for structure in (cell, large):
        edge_index, shifts = edges_of(structure, CUTOFF)
        codes = torch.arange(len(structure)) % len(cell)
        x = torch.tensor(structure.positions)
        found.append(forces(model, codes, x, edge_index, shifts))
    (energy, force), (large_energy, large_force) = found
    assert float(large_energy) == pytest.approx(64 * float(energy), abs=1e-9)
    torch.testing.assert_close(large_force, force.repeat(64, 1), rtol=0, atol=1e-10)


@EACH
def test_both_directions_of_a_bond_have_the_same_features(name):
    """What angles add to an edge and to its reverse, of a pair of atoms with many images."""
    model, atoms = make(name), bulk("SiO", "zincblende", 3.6)
    atoms.positions[1] += [0.1, -0.05, 0.07]
    calls = []
    for block in model.network.blocks[:-1]:
        block.bonds.register_forward_hook(lambda _, given, result: calls.append((given, result)))
    edge_index, shifts = edges_of(atoms, CUTOFF)
    energies(model, torch.arange(2), torch.tensor(atoms.positions), edge_index, shifts)
    for given, (_, change) in calls:
        edge, reverse = given[-1].edge, given[-1].reverse
        assert edge.tolist() == list(range(len(change)))  # each has one
        assert (edge != reverse).all()
        assert change.abs().max() > 0.1
        torch.testing.assert_close(change[reverse], change, rtol=0, atol=1e-12)
    assert len(calls) == model.layers - 1


def test_vectors_of_both_directions_may_differ_in_their_last_digits():
    """Folded images and float32 coordinates."""
    model, atoms = make(), bulk("SiO", "zincblende", 3.6)
    edge_index, shifts = edges_of(atoms, CUTOFF)
    vectors = torch.tensor(atoms.positions)[edge_index]
    vectors = vectors[0] - vectors[1] + shifts
    noise = torch.rand(vectors.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    counts = [2] * (model.layers + 1), [len(vectors)] * model.layers
    expected = model(torch.arange(2), vectors, edge_index, *counts)
    found = model(torch.arange(2), vectors + 1e-9 * noise, edge_index, *counts)
    assert 0 < (found - expected).abs().max() < 1e-7


@pytest.mark.parametrize("n", [0, 1, 3])
def test_atoms_without_neighbors(n):
    model = torch.jit.script(make())
    vectors = torch.zeros((0, 3), dtype=torch.float64, requires_grad=True)
    nothing = torch.zeros((2, 0), dtype=torch.int64)
    found = model(torch.ones(n, dtype=torch.int64), vectors, nothing, [n] * 4, [0] * 3)
    assert found.shape == (n,)
    assert torch.isfinite(found).all()
    assert n == 0 or found.std(correction=0) == 0


@EACH
def test_straight_angles_have_finite_derivatives(name):
    model = make(name)
    x = torch.arange(5, dtype=torch.float64)[:, None] * torch.tensor([1.8, 0, 0])
    _, force = forces(
        model, torch.arange(5) % 2, x, edges_of(Atoms(positions=x.numpy()), CUTOFF)[0]
    )
    assert torch.isfinite(force).all()
    assert force[:, 0].abs().max() > 1e-3
    assert force[:, 1:].abs().max() == 0


@EACH
def test_torchscript_and_float_types(name):
    model, x, codes = make(name), torch.tensor(cluster()), torch.arange(20) % 2
    expected = free_energies(model, codes, x)
    scripted = torch.jit.script(model)
    torch.testing.assert_close(free_energies(scripted, codes, x), expected, rtol=0, atol=1e-12)
    operators = torch.jit.export_opnames(script(model, "edges"))
    assert {one.split("::")[0] for one in operators} <= {"aten", "prim"}
    model.network.float()
    single = free_energies(model, codes, x)
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, expected, rtol=0, atol=1e-4)
    assert not torch.equal(single, expected)


@EACH
def test_splines_of_the_distance(name):
    model, x, codes = make(name), torch.tensor(cluster()), torch.arange(20) % 2
    compressed = compress(model, 1e-9)
    assert compressed.error < 1e-9
    found = free_energies(compressed.model, codes, x)
    torch.testing.assert_close(found, free_energies(model, codes, x), rtol=0, atol=1e-7)


def test_exports_find_that_directions_matter():
    """Angles have a shorter range than the cutoff."""
    model = make(bond_cutoff=1.5)
    facts = replace(describe(model, "edges"), radial=None)
    check, facts = check_radial(script(model, "edges"), facts)
    assert check.detail == "their directions matter"
    assert facts.radial is False


def test_compiling_is_refused_with_the_reason(tmp_path):
    model, x, codes = make(), torch.tensor(cluster()), torch.arange(20) % 2
    edge_index, _ = edges_of(Atoms(positions=x.numpy()), CUTOFF)

    def function(vectors):
        return model(codes, vectors, edge_index, [20] * 4, [len(vectors)] * 3)

    with pytest.raises(ModelError, match=r"^CHGNet cannot be compiled: .* data-dependent"):
        trace(function, (x[edge_index[0]] - x[edge_index[1]],), "CHGNet")
    module, facts = script(model, "edges").eval(), describe(model, "edges")
    with pytest.raises(ModelError, match=r"the number of its angles depends on the positions"):
        compile_module(
            module, facts, tmp_path / "chgnet.pt2", name="CHGNet", energy_kind="per_particle",
            network=model,
        )  # fmt: skip


def test_wrong_plans_are_errors():
    plan = random_plan(SPECIES)
    with pytest.raises(ModelError, match="activation of a CHGNet is sine, expected silu"):
        build({**plan, "activation": "sine"})
    plan = copy.deepcopy(plan)
    plan["readout"]["norm"]["kind"] = "graph"
    with pytest.raises(ModelError, match="norm of a CHGNet is graph, expected layer"):
        build(plan)
