"""`torchml data make`: structures of EMT and Stillinger-Weber, with the labels of the potential."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.constraints import FixAtoms

from helpers.labelled import assert_equal
from torchml import cli
from torchml.data import Configuration, read
from torchml.data.batch import collate, make_sample
from torchml.data.graph import GraphBuilder
from torchml.data.tools.make import Maker, Recipe
from torchml.data.tools.stillinger_weber import StillingerWeberCalculator
from torchml.models import StillingerWeber
from torchml.training.loop.prediction import predict


def run(*words: str) -> int:
    return cli.main(["data", "make", *words])


def test_labels_are_those_of_emt_also_on_fixed_atoms():
    made = list(Maker(Recipe(systems=6, frames=2, seed=3)))
    assert [c.group for c in made[::2]] == ["crystals", "slabs", "molecules"] * 2
    assert [(c.sid, c.fid) for c in made[:4]] == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    for c in made:
        atoms = c.to_atoms()
        atoms.constraints = []
        atoms.calc = EMT()
        assert c.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
        np.testing.assert_allclose(c.forces, atoms.get_forces(), atol=1e-12)
        assert (c.stress is not None) == (c.group == "crystals")
    slab = made[2]
    assert slab.fixed.any() and (slab.fixed == (slab.tags == 0)).all()
    assert set(slab.tags.tolist()) == {0, 1, 2} and np.abs(slab.forces[slab.fixed]).max() > 0.01
    moved = made[3].positions - slab.positions
    assert not moved[slab.fixed].any() and moved[~slab.fixed].all()
    assert not made[4].pbc.any() and not made[4].fixed.any()


def test_relaxations_end_where_forces_vanish():
    maker = Maker(Recipe("is2re", systems=3, fmax=0.01, seed=1))
    made = list(maker)
    assert maker.unfinished == 0
    for c in made:
        assert c.energy is None and c.forces is None and c.fid is None
        atoms = replace(c, positions=c.relaxed_positions).to_atoms()
        atoms.calc = EMT()
        assert c.relaxed_energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
        assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.01
        atoms.positions = c.positions
        assert c.initial_energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
        assert c.relaxed_energy < c.initial_energy
        assert not (c.relaxed_positions - c.positions)[c.fixed].any()


def test_a_seed_makes_equal_data_and_more_systems_begin_with_the_same():
    first, again, other = (
        list(Maker(Recipe(systems=n, seed=s))) for n, s in ((3, 1), (4, 1), (3, 2))
    )
    for before, after in zip(first, again[:3], strict=True):
        assert_equal(before, after)
    assert all(a.energy != b.energy for a, b in zip(first, other, strict=True))


def test_silicon_agrees_with_the_model():
    made = list(Maker(Recipe(potential="sw", kinds=("crystals", "slabs"), systems=4, seed=2)))
    model = StillingerWeber()
    builder = GraphBuilder(model.species, model.cutoff, model.layers)
    for c in made:
        mine = predict(model, collate([make_sample(c, builder(c), 0)]), stress=c.stress is not None)
        assert mine.energy.item() == pytest.approx(c.energy, abs=1e-9)
        np.testing.assert_allclose(mine.forces.numpy(), c.forces, atol=1e-9)
        if c.stress is not None:
            np.testing.assert_allclose(mine.stress[0].numpy(), c.stress, atol=1e-10)
    assert made[1].fixed.any() and set(made[1].tags.tolist()) == {0, 1, 2}


def test_forces_and_stress_of_silicon_are_derivatives():
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.15, seed=1)
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = StillingerWeberCalculator()
    forces = atoms.get_forces(apply_constraint=False)
    numerical = calculate_numerical_forces(atoms, eps=1e-5, iatoms=[0, 3])
    np.testing.assert_allclose(forces[[0, 3]], numerical, atol=1e-7)
    stress = calculate_numerical_stress(atoms, eps=1e-5)
    np.testing.assert_allclose(atoms.get_stress(apply_constraint=False), stress, atol=1e-8)


@pytest.mark.parametrize("name", ["a.extxyz", "a.lmdb", "a.aselmdb", "a.parquet"])
def test_files_hold_what_was_made(name, capsys):
    assert run("-o", name, "--systems", "3", "--seed", "1") == 0
    assert capsys.readouterr().out == f"{name}: 3 configurations, {name[2:]}\n"
    for before, after in zip(Maker(Recipe(systems=3, seed=1)), read(name), strict=True):
        assert_equal(before, after)


def test_a_picture_is_made():
    assert run("-o", "a.lmdb", "--systems", "3", "--plot", "a.png") == 0
    assert matplotlib.image.imread("a.png").ndim == 3


def test_wrong_options_are_one_sentence(capsys):
    for words, message in (
        (("-o", "a.xyz", "--potential", "sw", "--kinds", "molecules"), "sw has no molecules"),
        (("-o", "a.xyz", "--systems", "0"), "systems is 0, expected 1 or more"),
        (("-o", "a.xyz", "--task", "is2re", "--frames", "2"), "is2re has one row for each system"),
        (("-o", "folder"), "the name folder shows no format"),
    ):
        assert run(*words) == 1
        shown = capsys.readouterr().err
        assert shown.startswith("torchml data make: error: ") and message in shown
    words = ("-o", "a.xyz", "--task", "is2rs", "--systems", "1", "--steps", "1")
    assert run(*words) == 0
    assert "1 of 1 relaxations ended after 1 steps" in capsys.readouterr().err
    assert run(*words) == 1
    assert "a.xyz exists, expected another name, or --force" in capsys.readouterr().err
    before = read("a.xyz")[0]
    assert run(*words, "--force") == 0
    assert_equal(before, read("a.xyz")[0])
    assert isinstance(before, Configuration) and before.relaxed_energy < before.initial_energy
