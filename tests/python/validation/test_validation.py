"""Validation itself: it must see what is wrong, and be content with what is right."""

from __future__ import annotations

import argparse
import dataclasses
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from rich.console import Console

from helpers import portable
from torchml import Potential, TorchMLError, kim
from torchml.inference.evaluation import Evaluation
from torchml.reference.agreement import agreement, compared, difference, failure
from torchml.reference.structures import default_structures, read_structures
from torchml.validation import checks, command
from torchml.validation.kim_client import KimModel
from torchml.validation.report import print_report


def arguments(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


# --- What is compared, and how --------------------------------------------------------------------


def test_differences_are_relative_to_the_largest_value():
    assert difference([10.0, 0.0], [10.0, 1e-6]) == pytest.approx(1e-7)
    assert difference(0.0, 1e-12) == pytest.approx(1e-11)  # small values: absolute
    assert difference([], []) == 0


@pytest.mark.parametrize("value", [[np.nan, 0], [np.inf, 0], [1.0]])
def test_what_is_no_number_or_of_another_shape_differs_infinitely(value):
    assert difference(value, [0.0, 0.0]) == np.inf


def test_single_precision_is_allowed_more():
    assert agreement("float32").parity > 1e3 * agreement("float64").parity
    with pytest.raises(TorchMLError, match="float16"):
        agreement("float16")


def test_default_structures_show_what_goes_wrong():
    structures = default_structures(["Si", "O"], 4.0)
    assert set(structures["mixed species"].symbols) == {"Si", "O"}
    thin = structures["thin cell"]
    assert (1 / np.linalg.norm(np.linalg.inv(thin.cell.array), axis=0)).min() < 4.0
    assert not structures["cluster"].pbc.any()
    assert len(structures["lone atom"]) == 1
    for name, atoms in structures.items():
        if len(atoms) > 1:
            distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)]
            assert distances.min() > 1.5, name  # nothing collides


@pytest.mark.parametrize("species", [["H"], ["H", "C", "O"], ["O", "Cs"]])
def test_default_structures_are_as_dense_as_matter(species):
    for name, atoms in default_structures(species, 5.0).items():
        if len(atoms) > 2 and atoms.pbc.all():
            assert 0.002 < len(atoms) / atoms.get_volume() < 0.2, name  # Å^-3; diamond has 0.18


def test_structures_come_from_a_file(tmp_path):
    path = tmp_path / "some.extxyz"
    ase.io.write(path, [portable.silicon(), portable.cluster()])
    assert [len(atoms) for atoms in read_structures(path).values()] == [8, 12]
    with pytest.raises(TorchMLError, match="no such file"):
        read_structures(tmp_path / "none.xyz")
    (tmp_path / "bad.xyz").write_text("nonsense")
    with pytest.raises(TorchMLError, match=r"bad\.xyz.*ASE cannot read"):
        read_structures(tmp_path / "bad.xyz")


# --- It sees what is wrong ------------------------------------------------------------------------


@pytest.fixture
def evaluate(example):
    potential = Potential(example("sw", "edges").archive)
    return lambda atoms: potential.evaluate(atoms, virial=True)


def spoiled(evaluate, **changes):
    """The evaluator with a quantity multiplied, or replaced by a function of it and the atoms."""

    def spoil(atoms):
        found = evaluate(atoms)
        return dataclasses.replace(
            found, **{key: change(getattr(found, key), atoms) for key, change in changes.items()}
        )

    return spoil


def absolute(energy, atoms):
    """An energy that depends on where the structure lies."""
    return energy + 1e-3 * atoms.positions[:, 0].sum()


def first_atom(energy, atoms):
    """An energy that depends on which atom comes first."""
    return energy + 1e-3 * atoms.positions[0].sum()


def constant(energy, atoms):
    """An energy that does not grow with the structure."""
    return energy + 1e-3


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("forces = -dE/dx", {"forces": lambda f, a: f * 1.001}),
        ("virial = dE/dstrain", {"virial": lambda v, a: v + 0.01}),
        ("rotation", {"energy": absolute}),
        ("rotation", {"forces": lambda f, a: f * [1, 1, 1.001]}),
        ("translation", {"energy": absolute}),
        ("permutation", {"energy": first_atom}),
        ("replication", {"energy": constant}),
    ],
)
def test_a_check_holds_and_fails_where_it_must(check, spoil, evaluate):
    atoms = portable.silicon()
    function, tolerance = checks.checks_for(atoms, agreement("float64"))[check]
    assert function(evaluate, atoms) < tolerance
    assert function(spoiled(evaluate, **spoil), atoms) > tolerance


def test_a_cluster_is_not_repeated():
    assert "replication" not in checks.checks_for(portable.cluster(), agreement("float64"))


def test_comparison_finds_each_quantity():
    good = Evaluation(1.0, np.ones((2, 3)), np.ones(6), np.ones(2), np.full((2, 6), 0.5))
    assert all(f.passed for f in command.compare("client", "s", good, good, 1e-10))
    for quantity in ("energy", "forces", "virial", "particle_energies", "particle_virials"):
        bad = dataclasses.replace(good, **{quantity: getattr(good, quantity) * 1.01})
        found = command.compare("client", "s", bad, good, 1e-10)
        assert sum(not finding.passed for finding in found) == 1
        assert len(found) == 5


def test_the_report_names_what_failed():
    console = Console(record=True, width=120)
    findings = [
        compared("energy", "cell", 1e-12, 1e-10),
        compared("energy", "cluster", 2e-5, 1e-10),
        compared("forces", "cell", 0.0, 1e-10),
        failure("LAMMPS", "", TorchMLError("the program 'lmp' is not on the PATH")),
    ]
    print_report(console, "a model", findings)
    shown = console.export_text()
    assert "1/2" in shown
    assert shown.count("FAIL") == 2
    assert "energy on cluster: 2.000e-05 exceeds 1e-10" in shown
    assert "LAMMPS: the program 'lmp' is not on the PATH" in shown


# --- The command ----------------------------------------------------------------------------------


def test_a_good_model_passes_everywhere(example, capsys):
    """A .pt: exported, installed for the time being, compared through every door."""
    model = example("sw", "edges")
    assert command.run(arguments(model.archive)) == 0
    shown = capsys.readouterr().out
    for row in ("Python: energy", "KIM: forces", "ASE: forces", "LAMMPS 1 rank:", "2 ranks:"):
        assert row in shown
    assert "FAIL" not in shown


def test_wrong_forces_fail(tmp_path, capsys):
    """A model that returns forces which are not the derivative of its energy."""
    body = """
    vectors = coords.index_select(0, edge_index0[0]) - coords.index_select(0, edge_index0[1])
    terms = ((vectors ** 2).sum(dim=1) - 16.0) ** 2 * self.scale
    energy = torch.zeros_like(coords[:, 0]).index_add(0, edge_index0[1], terms)
    return energy * (contributing == 0).to(coords.dtype), coords * 0.0
"""
    portable.save_graph_model(body, tmp_path / "model.pt", "Tuple[Tensor, Tensor]")
    folder = tmp_path / "Test_Wrong__MO_000000000000_000"
    param = portable.GRAPH_PARAM.replace("Forces\nFalse", "Forces\nTrue")
    portable.write_folder(folder, {"model.pt": tmp_path / "model.pt", "model.param": param}, ["Si"])
    ase.io.write(tmp_path / "one.xyz", portable.silicon())
    words = [folder, "--structures", tmp_path / "one.xyz", "--no-lammps"]
    assert command.run(arguments(*words)) == 1
    shown = capsys.readouterr().out
    assert "forces = -dE/dx on one.xyz:0" in shown
    assert "virial = dE/dstrain on one.xyz:0" in shown
    assert "LAMMPS was left out on request" in shown


def test_lammps_that_is_missing_is_a_failure(example, monkeypatch, capsys, tmp_path):
    nowhere = SimpleNamespace(which=lambda name: None)
    monkeypatch.setattr("torchml.validation.lammps.shutil", nowhere)
    ase.io.write(tmp_path / "one.xyz", portable.cluster())
    words = [example("sw", "edges").archive, "--structures", tmp_path / "one.xyz"]
    assert command.run(arguments(*words)) == 1
    assert "the program 'lmp' is not on the PATH" in " ".join(capsys.readouterr().out.split())


def test_a_folder_that_is_no_model_is_an_error(tmp_path):
    with pytest.raises(TorchMLError, match=r"CMakeLists.txt.*expected the folder of a portable"):
        command.run(arguments(tmp_path))


def test_a_model_that_is_not_there_is_an_error():
    with pytest.raises(TorchMLError, match="Nothing"):
        command.run(arguments("Nothing__MO_000000000000_000"))


def test_a_folder_is_checked_though_its_name_is_installed(installed):
    """An installed model of the same name may be another one: the folder is what counts."""
    model = installed("sw", "edges")
    with command.installed_model(model.folder) as name:
        assert name != model.name
        atoms = portable.silicon()
        energy = KimModel(name).evaluate(atoms).energy
    assert energy == pytest.approx(Potential(model.archive).evaluate(atoms).energy, rel=1e-12)
    assert kim.installed_folder(name) is None
