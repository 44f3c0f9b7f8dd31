"""Sums of potentials: every part computes what it computes alone, with the engine's lists too."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError

from helpers import checkpoints
from helpers.d3 import d3
from helpers.networks import CUTOFF, SPECIES, edges_of, energies
from torchml import Calculator, Potential
from torchml.contract import metadata
from torchml.errors import DataError, ModelError, TorchMLError
from torchml.importers.opening import cast, load
from torchml.models import (
    ZBL,
    BehlerParrinello,
    Scaled,
    SchNet,
    Sum,
    build,
    describe,
    describe_class,
    script,
)
from torchml.models.summed import unfolded


def scaled(layers):
    """A trained network."""
    model = Scaled(schnet(SPECIES, CUTOFF, layers))
    model.set_normalization({"Si": -3.0, "O": 5.0}, 7.0)
    return model


def schnet(species, cutoff, layers):
    torch.manual_seed(layers)
    return SchNet(species, cutoff, layers=layers, features=6, gaussians=5)


# Parts, and the lengths of the edges into each shell of the sum.
SUMS = {
    "network and repulsion": (lambda: [scaled(3), ZBL(["O", "Si"], 0.9, 1.8)], [3.0, 3.0, 3.0]),
    "three hops in one": (lambda: [scaled(3), ZBL(SPECIES), d3(["O", "C", "Si"])], [9.0, 6.0]),
    # Three hops reach the second shell, whose edges are needed: four layers in two would be wrong.
    "two hops in one": (lambda: [scaled(4), d3(["Si", "O"], 7.0, 5.0)], [7.0, 5.0, 3.0]),
    "one hop in one": (lambda: [scaled(3), schnet(["C", "O", "Si"], 4.0, 2)], [4.0, 4.0, 3.0]),
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """opened(name, convention): the sum and its parts in the engine."""
    folder = tmp_path_factory.mktemp("sums")
    known = {}

    def save(model, name, convention):
        path = folder / f"{name}.{convention}.pt"
        metadata.save(script(model, convention), path, describe(model, convention))
        return Potential(path)

    def potentials(name, convention):
        if (name, convention) not in known:
            parts = SUMS[name][0]()
            known[name, convention] = (
                save(Sum(parts), name, convention),
                [save(part, f"{name}{k}", convention) for k, part in enumerate(parts)],
            )
        return known[name, convention]

    return potentials


@pytest.fixture(scope="module")
def crowd():
    """A row of atoms, longer than all parts look: no two closer than 0.9 Å."""
    generator = np.random.default_rng(2)
    positions = np.empty((0, 3))
    while len(positions) < 70:
        candidate = generator.uniform(0, 1, 3) * [26.0, 4.0, 4.0]
        if (np.linalg.norm(positions - candidate, axis=1) > 0.9).all():
            positions = np.vstack([positions, candidate])
    return Atoms([SPECIES[k] for k in generator.integers(0, 2, 70)], positions=positions)


def evaluate(potential, atoms, contributing):
    """As on a rank that owns some of the atoms."""
    particles = potential.particles(atoms)
    return potential.evaluate_particles(
        potential.codes(atoms),
        particles.coordinates,
        contributing,
        particles.neighbor_offsets,
        particles.neighbors,
        energy=True,
        forces=True,
        virial=True,
        particle_energies=True,
        particle_virials=potential.spec.convention == "edges",
    )


@pytest.mark.parametrize("name", SUMS)
def test_edges_and_layers_are_as_few_as_the_parts_allow(name, opened):
    _, cutoffs = SUMS[name]
    total, _ = opened(name, "edges")
    assert total.spec.shell_cutoffs == cutoffs
    assert total.spec.influence_distance == sum(cutoffs)
    assert (total.spec.cutoff, total.spec.layers) == (cutoffs[0], len(cutoffs))
    staged, _ = opened(name, "graph")
    assert staged.spec.influence_distance == cutoffs[0] * len(cutoffs)


def test_images_that_are_proved_share_a_node(opened):
    """Where lists of ghosts are shorter than those of atoms, they are compared all the same."""
    total, _ = opened("three hops in one", "edges")
    atoms = bulk("Si", "diamond", a=4.6, cubic=True).repeat((2, 2, 2))
    atoms.symbols = ["Si", "O"] * 32
    atoms.rattle(0.1, seed=3)
    for step in range(3):
        atoms.rattle(0.003, seed=step)
        particles = total.particles(atoms)
        found = total.evaluate_particles(
            total.codes(atoms)[particles.image_of],
            particles.coordinates,
            particles.contributing,
            particles.neighbor_offsets,
            particles.neighbors,
            energy=True,
            forces=True,
        )
        expected = total.evaluate(atoms)
        assert found["energy"] == pytest.approx(expected.energy, rel=1e-13)
        forces = particles.fold(found["forces"])
        np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-11)


@pytest.mark.parametrize("convention", ["edges", "graph"])
@pytest.mark.parametrize("name", SUMS)
def test_energies_forces_and_virials_are_those_of_the_parts_on_two_ranks(
    name, convention, opened, crowd
):
    total, parts = opened(name, convention)
    left = (crowd.positions[:, 0] < 9.0).astype(np.int32)
    for contributing in (left, 1 - left):
        found = evaluate(total, crowd, contributing)
        alone = [evaluate(part, crowd, contributing) for part in parts]
        for key, value in found.items():
            terms = [part[key] for part in alone]
            largest = max(np.abs(term).max() for term in terms)
            np.testing.assert_allclose(value, sum(terms), rtol=0, atol=1e-13 * largest)
        assert all(np.abs(part["forces"]).max() > 1e-3 for part in alone)


def test_each_part_gets_the_edges_that_it_gets_alone(crowd):
    """A network of the sum works on as many atoms and edges as without the other parts."""
    total = Sum(SUMS["two hops in one"][0]())
    positions = torch.tensor(crowd.positions)

    def graph(cutoff, layers):
        """Shells from atom to atom: (edge_index, node_counts, edge_counts)."""
        near = torch.cdist(positions, positions) < cutoff
        near.fill_diagonal_(False)
        shells, edges = [torch.arange(10)], []
        for _ in range(layers):
            into, sources = torch.nonzero(near[shells[-1]]).T
            edges.append(torch.stack([sources, shells[-1][into]]))
            known = torch.cat(shells)
            shells.append(torch.tensor(sorted(set(sources.tolist()) - set(known.tolist()))).long())
        sizes = [len(shell) for shell in shells], [one.size(1) for one in edges]
        order = torch.cat(shells)
        place = torch.full((len(positions),), -1)
        place[order] = torch.arange(len(order))
        return order, place[torch.cat(edges, 1)], *[np.cumsum(one).tolist() for one in sizes]

    order, index, *counts = graph(total.cutoff, total.layers)
    vectors = positions[order][index[0]] - positions[order][index[1]]
    codes = torch.zeros(len(order), dtype=torch.int64)
    found = total.parts[0].inputs(codes, vectors.norm(dim=1), vectors, index, *counts)
    _, expected, nodes, edges = graph(3.0, 4)
    assert found[3:] == (nodes, edges)
    assert found[2].shape == expected.shape
    assert found[0].shape == (nodes[-1],)


def test_energies_of_parts_are_given_by_name(opened, crowd):
    total, parts = opened("three hops in one", "edges")
    atoms = crowd[:12]
    atoms.set_cell([5.0, 6.0, 7.0])
    atoms.pbc = [True, True, False]
    assert total.parts == ("model", "zbl", "d3")
    expected = [part.evaluate(atoms).energy for part in parts]
    for potential in (total, pickle.loads(pickle.dumps(total))):
        evaluation = potential.evaluate(atoms, part_energies=True)
        assert list(evaluation.part_energies.values()) == pytest.approx(expected, rel=1e-12)
        assert sum(expected) == pytest.approx(evaluation.energy, rel=1e-12)
    calculator = Calculator(total)
    assert calculator.get_property("part_energies", atoms) == evaluation.part_energies
    assert calculator.results["energy"] == pytest.approx(evaluation.energy, rel=1e-12)
    assert total.evaluate(atoms).part_energies is None


def test_other_models_have_no_energies_of_parts(opened, crowd):
    _, (part, *_) = opened("three hops in one", "edges")
    with pytest.raises(ModelError, match="has no parts, expected a TorchScript archive of a sum"):
        part.evaluate(crowd, part_energies=True)
    with pytest.raises(PropertyNotImplementedError):
        Calculator(part).get_property("part_energies", crowd)
    assert part.parts == ()


def test_python_gets_the_energies_of_each_atom(crowd):
    total = Sum(SUMS["three hops in one"][0](), names=["a", "b", "c"])
    codes = torch.tensor([SPECIES.index(symbol) for symbol in crowd.get_chemical_symbols()])
    positions = torch.tensor(crowd.positions)
    index, _ = edges_of(crowd, total.cutoff)
    vectors = positions[index[0]] - positions[index[1]]
    counts = [len(codes)] * 3, [index.size(1)] * 2
    found = total.part_energies(codes, vectors, index, *counts)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.sum(0), total(codes, vectors, index, *counts))


def training_sum():
    """A network without units, and a repulsion in eV."""
    return Sum([schnet(SPECIES, CUTOFF, 2), ZBL(SPECIES, 0.9, 1.8)])


def crowded(model, atoms):
    codes = torch.tensor([model.species.index(symbol) for symbol in atoms.get_chemical_symbols()])
    index, shifts = edges_of(atoms, model.cutoff)
    return energies(model, codes, torch.tensor(atoms.positions), index, shifts).detach()


def test_a_training_scales_the_network_alone(crowd, tmp_path):
    """What it learns, a checkpoint holds, and the exported sum gives by name."""
    total = Scaled(training_sum())
    total.set_normalization({"Si": -3.0, "O": 5.0}, 0.02)
    network, zbl = (part.model for part in total.network.parts)
    references = crowded(total, crowd) - 0.02 * crowded(network, crowd) - crowded(zbl, crowd)
    expected = torch.tensor([-3.0 if s == "Si" else 5.0 for s in crowd.get_chemical_symbols()])
    torch.testing.assert_close(references, expected.double(), rtol=0, atol=1e-11)

    path = checkpoints.save(total, tmp_path / "sum.ckpt")
    loaded = load(path).model
    assert isinstance(loaded, Sum)
    torch.testing.assert_close(crowded(loaded, crowd), crowded(total, crowd), rtol=1e-13, atol=0)
    found = Potential(path).evaluate(crowd, part_energies=True)
    assert found.part_energies["zbl"] == pytest.approx(float(crowded(zbl, crowd).sum()), rel=1e-12)
    assert found.energy == pytest.approx(float(crowded(total, crowd).sum()), rel=1e-12)


def test_a_sum_is_calibrated_part_by_part(crowd):
    """Symmetry functions are standardised over the neighbours within their own cutoff."""
    alone = BehlerParrinello(SPECIES, CUTOFF, hidden=[4])
    total = Sum([copy.deepcopy(alone), d3(SPECIES)])
    codes = torch.tensor([SPECIES.index(symbol) for symbol in crowd.get_chemical_symbols()])
    for model in (alone, total):
        index, _ = edges_of(crowd, model.cutoff)
        x = torch.tensor(crowd.positions)
        sizes = [len(codes)] * (model.layers + 1), [index.size(1)] * model.layers
        model.calibrate(codes, x[index[0]] - x[index[1]], index, *sizes)
    assert (alone.shift != 0).any()
    torch.testing.assert_close(total.parts[0].model.shift, alone.shift)
    torch.testing.assert_close(total.parts[0].model.scale, alone.scale)


def test_a_sum_is_built_from_its_arguments(crowd):
    total = Sum([scaled(2), ZBL(SPECIES, 0.9, 1.8), d3(SPECIES)], ["a", "b", "c"])
    again = build(*describe_class(total))
    again.load_state_dict(total.state_dict())
    assert again.names == ["a", "b", "c"]
    torch.testing.assert_close(crowded(again, crowd), crowded(total, crowd), rtol=0, atol=0)


def test_models_that_are_no_trained_sum_are_not_unfolded():
    for model in (scaled(2), Sum([scaled(2), ZBL(SPECIES)]), Scaled(Sum([ZBL(SPECIES)]))):
        assert unfolded(model) is model


def test_a_sum_in_float32_keeps_energies_in_float64(crowd):
    exact = Sum(SUMS["three hops in one"][0]())
    rounded = cast(copy.deepcopy(exact), "float32")
    assert describe(rounded, "edges").dtype == "float32"
    assert describe(rounded, "edges").input_dtype == "float64"
    found = crowded(rounded, crowd)
    assert found.dtype == torch.float64
    error = (found - crowded(exact, crowd)).abs().max()
    assert 0 < error < 1e-4


def test_all_edges_give_a_repulsion_the_same_energy(crowd):
    """What a compiled archive computes."""
    total = Sum([scaled(2), ZBL(SPECIES)])
    expected = crowded(total, crowd)
    total.take_all_edges()
    assert not any(part.filtered for part in total.parts)
    torch.testing.assert_close(crowded(total, crowd), expected, rtol=1e-13, atol=0)


def test_other_cutoffs_cannot_be_compiled():
    total = Sum([scaled(2), ZBL(SPECIES), d3(SPECIES)])
    with pytest.raises(ModelError, match=r"\(3 Å beside 9 Å\).*expected the format 'torchscript'"):
        total.take_all_edges()


@pytest.mark.parametrize(
    ("parts", "names", "sentence"),
    [
        (lambda: [], None, "there are no parts"),
        (
            lambda: [scaled(2), d3(["Si"])],
            None,
            "the part 'd3' of a sum does not know O, expected .* Si O",
        ),
        (lambda: [scaled(2), ZBL(SPECIES)], ["a"], r"names are \['a'\], expected 2 different"),
        (lambda: [scaled(2), ZBL(SPECIES)], ["a", "a"], "expected 2 different"),
    ],
)
def test_parts_that_do_not_fit_are_an_error(parts, names, sentence):
    with pytest.raises(TorchMLError, match=sentence):
        Sum(parts(), names)


def test_parts_of_one_kind_are_numbered():
    assert Sum([scaled(1), scaled(2), ZBL(SPECIES), scaled(3)]).names == [
        "model", "model2", "zbl", "model3",
    ]  # fmt: skip


def test_elements_beyond_the_first_part_are_unknown(opened, crowd):
    total, _ = opened("one hop in one", "edges")
    atoms = crowd.copy()
    atoms.symbols[0] = "C"
    with pytest.raises(DataError, match="C"):
        total.evaluate(atoms)
