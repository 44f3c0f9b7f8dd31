"""A committee gives the mean of its members, and what each of them gives alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.committees import SPECIES, committee, deviations, member, members, quartz
from helpers.portable import relative
from torchml import Calculator, Potential
from torchml._core import Error
from torchml.contract import metadata
from torchml.errors import ModelError, TorchMLError
from torchml.inference import evaluate_many
from torchml.models import ZBL, Committee, Sum, describe, script

LIMIT = 1e-12


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """opened(model): the model in the engine."""
    folder = tmp_path_factory.mktemp("committee")

    def open_model(model):
        path = folder / f"{len(list(folder.iterdir()))}.pt"
        metadata.save(script(model, "edges"), path, describe(model, "edges"))
        return Potential(path)

    return open_model


@pytest.fixture(scope="module")
def potential(opened):
    return opened(committee())


@pytest.fixture(scope="module")
def structures():
    """A cell that is smaller than two cutoffs, a molecule and a single atom."""
    crystal, molecule = quartz(), quartz()[:5]
    molecule.pbc = False
    atom = quartz()[:1]
    atom.pbc = False
    return [crystal, molecule, atom]


@pytest.fixture(scope="module")
def alone(opened, structures):
    """Results of each member alone, by structure."""
    potentials = [opened(one) for one in members()]
    return [
        [one.evaluate(atoms, virial=True, particle_energies=True) for one in potentials]
        for atoms in structures
    ]


def mean(results, quantity):
    return sum(getattr(one, quantity) for one in results) / len(results)


@pytest.mark.parametrize("requested", [False, True])
def test_results_are_the_means_of_the_members(requested, potential, structures, alone):
    assert potential.spec.members == 3
    for atoms, results in zip(structures, alone, strict=True):
        found = potential.evaluate(atoms, virial=True, particle_energies=True, members=requested)
        assert (found.members is not None) == requested
        assert found.energy == pytest.approx(mean(results, "energy"), rel=LIMIT)
        for quantity in ("forces", "virial", "particle_energies"):
            expected = mean(results, quantity)
            assert np.abs(getattr(found, quantity) - expected).max() < 1e-11


def require_members(found, results):
    """The members are those alone, and the deviations follow from them."""
    energies = np.array([one.energy for one in results])
    np.testing.assert_allclose(found.energies, energies, rtol=LIMIT)
    each = np.array([one.particle_energies for one in results])
    np.testing.assert_allclose(found.particle_energies, each, rtol=LIMIT)
    forces = np.array([one.forces for one in results])
    np.testing.assert_allclose(found.forces, forces, rtol=0, atol=1e-11)
    spread = np.sqrt(((energies - energies.mean()) ** 2).sum() / 2)
    assert found.energy_deviation == pytest.approx(spread, rel=1e-11)
    spread = np.sqrt(((each - each.mean(axis=0)) ** 2).sum(axis=0) / 2)
    np.testing.assert_allclose(found.particle_energy_deviations, spread, rtol=1e-10)
    np.testing.assert_allclose(
        found.force_deviations, deviations([one.forces for one in results]), rtol=0, atol=1e-11
    )


def test_members_are_what_each_gives_alone(potential, structures, alone):
    assert relative(alone[0][0].forces, alone[0][1].forces) > 0.1
    for atoms, results in zip(structures, alone, strict=True):
        require_members(potential.evaluate(atoms, members=True).members, results)


def test_many_structures_in_one_call_have_the_same_members(potential, structures, alone):
    found = evaluate_many(potential, structures * 2, members=True)
    for evaluation, results in zip(found, alone * 2, strict=True):
        require_members(evaluation.members, results)
    without = evaluate_many(potential, structures, forces=False, members=True)
    assert without[0].members.forces is None and without[0].members.force_deviations is None
    assert evaluate_many(potential, structures)[0].members is None


def test_a_sum_with_a_committee_has_its_members(opened, structures):
    """What all members have in common does not change their deviations."""
    repulsion = ZBL(SPECIES, 0.9, 2.2)
    atoms = structures[0]
    total = opened(Sum([committee(), repulsion])).evaluate(atoms, members=True)
    plain = opened(committee()).evaluate(atoms, members=True)
    added = opened(repulsion).evaluate(atoms)
    assert abs(added.energy) > 0.1
    np.testing.assert_allclose(total.members.energies, plain.members.energies + added.energy)
    np.testing.assert_allclose(
        total.members.forces, plain.members.forces + added.forces, rtol=0, atol=1e-10
    )
    assert relative(total.members.force_deviations, plain.members.force_deviations) < 1e-9


def test_ase_has_the_deviations(potential, structures):
    atoms = structures[0].copy()
    expected = potential.evaluate(atoms, members=True).members
    atoms.calc = Calculator(potential)
    assert atoms.get_forces().shape == (8, 3) and "forces_std" not in atoms.calc.results
    assert atoms.calc.get_property("energy_std", atoms) == expected.energy_deviation
    always = Calculator(potential, deviations=True)
    atoms.calc = always
    atoms.get_potential_energy()
    names = {
        "energies_std": expected.particle_energy_deviations,
        "forces_std": expected.force_component_deviations,
        "force_deviations": expected.force_deviations,
    }
    for name, values in names.items():
        np.testing.assert_array_equal(always.results[name], values)
    np.testing.assert_allclose(
        np.linalg.norm(always.results["forces_std"], axis=1), always.results["force_deviations"]
    )


def test_a_model_without_members_is_refused(opened, structures):
    one = opened(member(0))
    with pytest.raises(Error, match="the model is none, expected 'members'"):
        one.evaluate(structures[0], members=True)
    with pytest.raises(ModelError, match=r"has no members, expected a committee"):
        Calculator(one, deviations=True)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (lambda: member(1, ["Si"]), "member 2 has the elements Si, but member 1 has O Si"),
        (lambda: member(1, layers=3), "member 2 has the cutoffs 3 3 3 Å, but member 1 has 3 3 Å"),
    ],
)
def test_members_that_differ_are_refused(other, sentence):
    with pytest.raises(TorchMLError, match=sentence):
        Committee([member(0), other()])


def test_metadata_and_method_must_agree(tmp_path):
    model = member(0)
    facts = describe(committee(), "edges")
    assert facts.members == 3
    path = tmp_path / "model.pt"
    metadata.save(script(model, "edges"), path, facts)
    with pytest.raises(Error, match="declare 3 members but the model has no method"):
        Potential(path)


def test_a_committee_has_at_least_two_members():
    with pytest.raises(TorchMLError, match="members are 1, expected at least two"):
        Committee([member(0)])


def test_members_are_not_changed():
    """A committee computes with its members themselves."""
    one = member(0)
    model = Committee([one, member(1)])
    assert model.models()[0] is one
    assert not torch.equal(one.network.embedding.weight, model.models()[1].network.embedding.weight)
