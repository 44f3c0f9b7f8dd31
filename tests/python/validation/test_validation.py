"""Validation itself: it must see what is wrong, and be content with what is right."""

from __future__ import annotations

import argparse
import dataclasses
import json
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
from torchml.validation import command, kim_checks
from torchml.validation.installing import installed_model
from torchml.validation.interfaces import compare
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


def test_comparison_finds_each_quantity():
    good = Evaluation(1.0, np.ones((2, 3)), np.ones(6), np.ones(2), np.full((2, 6), 0.5))
    assert all(f.passed for f in compare("client", "s", good, good, 1e-10))
    for quantity in ("energy", "forces", "virial", "particle_energies", "particle_virials"):
        bad = dataclasses.replace(good, **{quantity: getattr(good, quantity) * 1.01})
        found = compare("client", "s", bad, good, 1e-10)
        assert sum(not finding.passed for finding in found) == 1
        assert len(found) == 5


def spoiled(model, change):
    """The model with results that are changed in each computation."""
    compute = model.arguments.compute

    def changed(species, positions, contributing=None, outputs=("energy", "forces"), **options):
        found = compute(species, positions, contributing, outputs, **options)
        change(found, contributing)
        return found

    model.compute = model.arguments.compute = changed
    return model


def set_energy(value):
    return lambda found, contributing: found["energy"].fill(value)


def scale_forces(found, contributing):
    if "forces" in found:
        found["forces"] *= 1.5


def give_ghosts_energy(found, contributing):
    found["particle_energies"][contributing == 0] += 1e-3


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (kim_checks.species_supported, set_energy(np.nan)),
        (kim_checks.ghosts_have_no_energy, give_ghosts_energy),
        (kim_checks.ghosts_have_no_energy, set_energy(0.0)),
        (kim_checks.derivative_grade, scale_forces),
        (kim_checks.unit_sets, scale_forces),
        (kim_checks.same_in_threads, scale_forces),
    ],
)
def test_a_verification_check_fails_where_it_must(check, change, installed):
    model = KimModel(installed("sw", "edges").name)
    allowed = agreement("float64")
    assert check("a check", model, allowed).verdict == "pass"
    assert check("a check", spoiled(model, change), allowed).verdict == "fail"


@pytest.mark.parametrize(
    ("error", "letter"), [(1e-16, "A"), (1e-8, "B"), (1e-4, "C"), (0.1, "D"), (1.0, "F")]
)
def test_grades_are_those_of_kim(error, letter):
    assert kim_checks.grade(error) == letter


def test_memory_that_grows_fails(installed, monkeypatch):
    monkeypatch.setattr(kim_checks, "MODELS", 20)
    name = installed("sw", "edges").name
    assert kim_checks.check_memory(name).verdict == "pass"
    monkeypatch.setattr(kim_checks, "MOST_GROWTH", -1.0)
    assert kim_checks.check_memory(name).verdict == "fail"


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


def test_a_good_model_passes_everywhere(example, capsys, tmp_path):
    """A .pt: exported, installed for the time being, compared through every interface."""
    model = example("sw", "edges")
    assert command.run(arguments(model.archive, "--json", tmp_path / "sw.json")) == 0
    shown = capsys.readouterr().out
    assert "FAIL" not in shown and "warn" not in shown
    found = json.loads((tmp_path / "sw.json").read_text())
    assert found["passed"] and found["failures"] == [] and found["depth"] == "standard"
    kinds = {check["name"] for check in found["checks"]}
    lammps = ("LAMMPS 1 rank", "LAMMPS 2x1x1", "LAMMPS 1x1x2", "LAMMPS 4x1x1", "LAMMPS 1x2x2")
    for interface in ("TorchScript", "KIM", "ASE", *lammps):
        assert {f"{interface}: energy", f"{interface}: forces"} <= kinds
    symmetries = {"translation", "rotation", "inversion", "permutation", "replication"}
    assert symmetries | {"elastic constants", "KIM: same in threads"} <= kinds
    assert all(name.split(":")[0] in shown for name in kinds)
    assert [curve["kind"] for curve in found["curves"]] == [
        *("dimer curve", "two close atoms", "trimer curve", "equation of state"),
    ]
    assert "C11, C12, C44" in found["figures"]["diamond Si"]


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
    words = [folder, "--structures", tmp_path / "one.xyz", "--no-lammps", "--quick"]
    assert command.run(arguments(*words)) == 1
    shown = capsys.readouterr().out
    assert "forces = -dE/dx on one.xyz:0" in shown
    assert "virial = dE/dstrain on one.xyz:0" in shown
    assert "the slope is not that of the energy at" in shown
    assert "Quick: without LAMMPS" in shown


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
    with installed_model(model.folder) as name:
        assert name != model.name
        atoms = portable.silicon()
        energy = KimModel(name).evaluate(atoms).energy
    assert energy == pytest.approx(Potential(model.archive).evaluate(atoms).energy, rel=1e-12)
    assert kim.installed_folder(name) is None
