"""Graphs for training: two kinds, the same energies, forces and stress; batches as their parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from torchml.data.batch import collate, make_sample
from torchml.data.configuration import Configuration
from torchml.data.graph import GraphBuilder
from torchml.errors import TorchMLError
from torchml.models import PaiNN, SchNet
from torchml.models.staged import StagedModel
from torchml.training.loop.prediction import predict

SPECIES = ["Si", "O"]


def configurations():
    """A small cell that sees its own images, a sheared one, a slab, a molecule, a lone atom."""
    generator = np.random.default_rng(0)
    cell = bulk("Si", "diamond", 5.43)
    sheared = bulk("Si", "diamond", 5.43, cubic=True)
    shear = np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.05], [0.0, 0.0, 1.0]])
    sheared.set_cell(sheared.cell.array @ shear, scale_atoms=True)
    sheared.symbols[2:4] = "O"
    slab = bulk("Si", "diamond", 5.43, cubic=True)
    slab.pbc = [True, True, False]
    water = molecule("H2O")
    water.symbols[:] = ["O", "Si", "Si"]
    alone = Atoms("O", pbc=False)
    found = []
    for k, atoms in enumerate([cell, sheared, slab, water, alone]):
        atoms.rattle(0.1, seed=k)
        n = len(atoms)
        atoms.calc = SinglePointCalculator(
            atoms, energy=generator.normal(), forces=generator.normal(size=(n, 3))
        )
        found.append(Configuration.from_atoms(atoms, index=k))
    return found


@pytest.fixture(params=[SchNet, PaiNN])
def model(request):
    torch.manual_seed(0)
    return request.param(SPECIES, cutoff=3.2, layers=2, features=8)


def batch_of(model, some, kind="minimum_image", **options):
    builder = GraphBuilder(model.species, model.cutoff, model.layers, kind, **options)
    return collate([make_sample(one, builder(one), k) for k, one in enumerate(some)])


@pytest.mark.parametrize("kind", ["minimum_image", "staged"])
def test_atoms_at_the_same_place_are_named(kind):
    atoms = bulk("Si", "diamond", 5.43, cubic=True)
    atoms.positions[3] = atoms.positions[1] + atoms.cell[0]
    builder = GraphBuilder(SPECIES, 3.2, 2, kind)
    with pytest.raises(TorchMLError, match="configuration 7: atoms 1 and 3 are at the same place"):
        builder(Configuration.from_atoms(atoms, index=7))


def test_both_kinds_of_graphs_give_the_same(model):
    some = configurations()
    folded = predict(model, batch_of(model, some), stress=True)
    staged = predict(model, batch_of(model, some, "staged"), stress=True)
    torch.testing.assert_close(folded.energy, staged.energy, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(folded.forces, staged.forces, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(folded.stress, staged.stress, rtol=1e-11, atol=1e-12, equal_nan=True)
    assert folded.stress.isnan().any(1).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("kind", ["minimum_image", "staged"])
def test_a_batch_is_the_sum_of_its_parts(model, kind):
    some = configurations()
    together = predict(model, batch_of(model, some, kind))
    start = 0
    for k, one in enumerate(some):
        alone = predict(model, batch_of(model, [one], kind))
        torch.testing.assert_close(together.energy[k : k + 1], alone.energy)
        rows = slice(start, start + len(one))
        torch.testing.assert_close(together.forces[rows], alone.forces)
        start += len(one)


def test_forces_and_stress_are_derivatives_of_the_energy(model):
    one = configurations()[1]

    def energy(changed):
        return predict(model, batch_of(model, [changed]), forces=False).energy.item()

    found = predict(model, batch_of(model, [one]), stress=True)
    h = 2e-5
    for atom, axis in [(0, 0), (3, 2), (5, 1)]:
        step = np.zeros_like(one.positions)
        step[atom, axis] = h
        up, down = (replace(one, positions=one.positions + s * step) for s in (1, -1))
        slope = (energy(up) - energy(down)) / (2 * h)
        assert found.forces[atom, axis].item() == pytest.approx(-slope, abs=1e-7)
    volume = abs(np.linalg.det(one.cell))
    for k, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strain = np.zeros((3, 3))
        strain[i, j] += h / 2
        strain[j, i] += h / 2
        strained = []
        for sign in (1, -1):
            turn = np.eye(3) + sign * strain
            strained.append(replace(one, positions=one.positions @ turn, cell=one.cell @ turn))
        slope = (energy(strained[0]) - energy(strained[1])) / (2 * h)
        assert found.stress[0, k].item() == pytest.approx(slope / volume, abs=1e-8)


def test_labels_and_flags_stay_with_their_atoms():
    some = configurations()
    some[1] = replace(some[1], fixed=np.arange(8) < 3)
    batch = batch_of(SchNet(SPECIES, cutoff=3.2, layers=2, features=4), some, "staged")
    np.testing.assert_array_equal(batch.forces, np.concatenate([one.forces for one in some]))
    np.testing.assert_array_equal(batch.atom_counts, [len(one) for one in some])
    codes = [[SPECIES.index(s) for s in one.to_atoms().symbols] for one in some]
    assert batch.species[: batch.n_atoms].tolist() == [code for some in codes for code in some]
    assert (~batch.free).nonzero().flatten().tolist() == [2, 3, 4]
    assert batch.node_counts[0] == batch.n_atoms == len(batch.configuration_of_atom)
    # Each shell's edges end in the shells up to it: a layer may stop there.
    for nodes, edges in zip(batch.node_counts, batch.edge_counts, strict=False):
        assert batch.edge_index[1, :edges].max() < nodes


def test_an_unknown_element_is_named_with_its_place():
    with pytest.raises(TorchMLError, match=r"configuration 3: atom 1 .* 14.*only O"):
        GraphBuilder(["O"], 3.0, 1)(configurations()[3])


def test_labels_of_pairs_follow_the_edges():
    one = configurations()[3]
    pairs = np.arange(9.0).reshape(3, 3)
    one = replace(one, targets={"coupling": pairs, "charge": np.array([1.0, 2.0, 3.0])})
    builder = GraphBuilder(SPECIES, 3.2, 2)
    sample = make_sample(one, builder(one), 0, ["coupling", "charge"])
    source, target = sample.graph.edge_index
    assert sample.targets["coupling"].flatten().tolist() == (3 * target + source).tolist()
    assert sample.targets["charge"].tolist() == [[1.0], [2.0], [3.0]]


def test_kinds_tell_the_dipole_of_a_molecule_of_three_atoms_from_charges():
    one = replace(configurations()[3], targets={"some": np.array([1.0, 2.0, 3.0])})
    graph = GraphBuilder(SPECIES, 3.2, 2)(one)

    def rows(kind, width):
        return make_sample(one, graph, 0, {"some": (kind, width)}).targets["some"].tolist()

    assert rows("graph_vector", 3) == [[1.0, 2.0, 3.0]]
    assert rows("node_scalar", 1) == [[1.0], [2.0], [3.0]]
    with pytest.raises(
        TorchMLError, match=r"configuration 3: the target 'some' has the shape \[3\]"
    ):
        rows("graph_scalar", 1)


class PairEnergy(torch.nn.Module):
    """As KLIFF's users write it: half of sum exp(-r) over the edges of the last convolution."""

    def __init__(self, per: str) -> None:
        super().__init__()
        self.per = per

    def forward(self, species, coords, edge_index0, edge_index1, contributing):
        r = (coords[edge_index0[0]] - coords[edge_index0[1]]).square().sum(1).sqrt()
        nodes = torch.zeros(len(coords), dtype=coords.dtype)
        # In symmetric stages an edge may end in a ghost, which is nobody's energy here.
        nodes = nodes.index_add(0, edge_index0[1], torch.exp(-r) * (1 + species[edge_index0[1]]))
        if self.per == "node":
            return nodes
        if self.per == "atom":
            return nodes[contributing % 2 == 0]
        total = torch.zeros(int(contributing.max()) + 1, dtype=coords.dtype)
        return total.index_add(0, contributing, nodes)[::2]


@pytest.mark.parametrize("per", ["node", "atom", "configuration"])
def test_networks_of_the_graph_convention_give_the_same_in_batches(per):
    some = configurations()[:4]
    model = StagedModel(PairEnergy(per), SPECIES, 3.2, 2)
    batch = batch_of(model, some, "staged", symmetric=True)
    found = predict(model, batch, stress=True)
    edges = batch_of(model, some)
    vectors = edges.edge_vectors.clone().requires_grad_()
    r = vectors.norm(dim=1)
    terms = torch.exp(-r) * (1 + edges.species[edges.edge_index[1]])
    energy = torch.zeros(4, dtype=torch.float64).index_add(
        0, edges.configuration_of_atom[edges.edge_index[1]], terms
    )
    torch.testing.assert_close(found.energy, energy.detach())
    (g,) = torch.autograd.grad(energy.sum(), vectors)
    forces = torch.zeros(edges.n_atoms, 3, dtype=torch.float64)
    forces = forces.index_add(0, edges.edge_index[1], g).index_add(0, edges.edge_index[0], -g)
    torch.testing.assert_close(found.forces, forces)
    w = torch.einsum("ea,eb->eab", vectors.detach(), g)
    w = torch.zeros(4, 3, 3, dtype=torch.float64).index_add(
        0, edges.configuration_of_atom[edges.edge_index[1]], w
    )
    torch.testing.assert_close(found.stress[0, 0] * edges.volumes[0], w[0, 0, 0])
    torch.testing.assert_close(
        found.stress[1, 5] * edges.volumes[1], 0.5 * (w[1, 0, 1] + w[1, 1, 0])
    )


def test_a_network_with_other_arguments_is_refused():
    with pytest.raises(TorchMLError, match="PairEnergy takes species coords edge_index0"):
        StagedModel(PairEnergy("node"), SPECIES, 3.2, 3)
