"""D3 with the damping of Becke and Johnson, against dftd3 1.7.0."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms

from helpers.d3 import cases, d3, damping_of, tables_of
from torchml.errors import TorchMLError
from torchml.models import D3, build, describe_class
from torchml.models.d3 import counting_range
from torchml.reference.model import EagerModel


def evaluate(model, atoms):
    spec = SimpleNamespace(
        species=model.species,
        cutoff=model.cutoff,
        layers=2,
        species_input="code",
        input_dtype="float64",
    )
    return EagerModel(model, spec).evaluate(atoms)


def of(case):
    """The structure, and the model with the cutoffs of the reference."""
    keys = ("symbols", "positions", "cell", "pbc")
    atoms = Atoms(**{key: case[key] for key in keys})
    species = sorted(set(case["symbols"]))
    cutoffs = [case[key] for key in ("cutoff", "coordination_cutoff", "smoothing")]
    return atoms, d3(species, *cutoffs)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["name"])
def test_energy_forces_and_virial_are_those_of_dftd3(case):
    atoms, model = of(case)
    found = evaluate(model, atoms)
    # Beyond 4 Å hydrogen atoms count each other by 1e-6, which dftd3 does not smooth.
    limit = 1e-5 if case["smoothing"] else 1e-9
    assert found.energy == pytest.approx(case["energy"], rel=limit)
    forces = np.array(case["forces"])
    assert np.abs(found.forces - forces).max() < limit * np.abs(forces).max()
    if "virial" in case:
        virial = np.array(case["virial"])
        assert np.abs(found.virial - virial).max() < limit * np.abs(virial).max()


def test_smoothing_changes_the_energy_by_more_than_its_test_allows():
    """Otherwise the case with smoothing would prove nothing."""
    case = next(case for case in cases() if case["smoothing"])
    atoms, _ = of(case)
    sharp = d3(sorted(set(case["symbols"])), case["cutoff"], case["coordination_cutoff"], 0.0)
    assert abs(evaluate(sharp, atoms).energy / case["energy"] - 1) > 1e-4


def test_elements_and_references_that_are_absent_change_nothing():
    """Carbon has more references than copper, and the model knows both."""
    rng = np.random.default_rng(3)
    atoms = Atoms("Cu8", positions=rng.uniform(0, 6, (8, 3)))
    alone = evaluate(d3(["Cu"]), atoms)
    among = evaluate(d3(["C", "Cu", "H"]), atoms)
    assert among.energy == pytest.approx(alone.energy, rel=1e-14)
    np.testing.assert_allclose(among.forces, alone.forces, rtol=0, atol=1e-14)


def test_crowded_atoms_in_float32_have_an_energy():
    """Coordination numbers far beyond the references: the weights must not become 0 / 0."""
    atoms = Atoms("Cu27", positions=1.2 * np.stack(np.mgrid[:3, :3, :3]).reshape(3, -1).T)
    exact = evaluate(d3(["Cu"]), atoms).energy
    found = evaluate(d3(["Cu"], dtype="float32"), atoms).energy
    assert found == pytest.approx(exact, rel=1e-5)


def test_an_atom_alone_and_no_atom_have_no_energy():
    model = d3(["Cu"])
    assert evaluate(model, Atoms("Cu")).energy == 0
    nothing = torch.zeros(0, dtype=torch.int64)
    vectors, index = torch.zeros(0, 3, dtype=torch.float64), torch.zeros(2, 0, dtype=torch.int64)
    assert model(nothing, vectors, index, [0, 0, 0], [0, 0]).shape == (0,)


def test_a_model_is_built_from_its_arguments_without_the_package(monkeypatch):
    monkeypatch.setattr("torchml.models.d3.tables_of", tables_of)
    monkeypatch.setattr("torchml.models.d3.damping_of", damping_of)
    model = D3(["Si", "O"], "PBE")
    monkeypatch.undo()
    again = build(*describe_class(model))
    assert {**again.state_dict()}.keys() == {**model.state_dict()}.keys()
    for one, other in zip(again.buffers(), model.buffers(), strict=True):
        assert torch.equal(one, other)
    assert again.cutoff == 15.0


def test_the_default_range_of_counts_follows_the_radii():
    silicon, hydrogen = d3(["Si", "O"], 15.0, None), d3(["H"], 15.0, None)
    radius = tables_of(["Si"])["radii"][0]
    r = silicon.coordination_cutoff
    share = 1 / (1 + np.exp(-16 * (2 * radius / r - 1)))
    assert share == pytest.approx(1e-5)
    assert hydrogen.coordination_cutoff < r < 15.0
    assert counting_range([9.0]) > 15.0
    assert d3(["Si"], 5.0, None).coordination_cutoff == 5.0


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tad_dftd3", None)
    with pytest.raises(TorchMLError, match=r"tad-dftd3, which is not installed here.*pip install"):
        D3(["Si"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"coordination_cutoff": 10.0}, "coordination cutoff is 10.0 Å, expected a length up to"),
        ({"smoothing": 6.5}, "smoothing is 6.5 Å, expected a length from 0 to"),
        ({"smoothing": -1.0}, "smoothing is -1.0 Å"),
    ],
)
def test_lengths_out_of_range_are_an_error(arguments, sentence):
    with pytest.raises(TorchMLError, match=sentence):
        d3(["Si"], **arguments)
