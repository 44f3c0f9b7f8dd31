"""TensorNet and M3GNet of matgl give the results of matgl's calculator wherever they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import peers
from torchml.cli import export_main
from torchml.importers.opening import Foreign, load


@pytest.fixture(scope="module")
def structures():
    return peers.salt()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("matgl")


@pytest.fixture(scope="module")
def answers(peers_python, folder, structures):
    return peers.answers(peers_python, Path(__file__).with_name("in_matgl.py"), folder, structures)


def test_every_interface_gives_matgls_results(
    answers, folder, structures, peers_python, collection
):
    words = ["--from", "matgl", "--python", str(peers_python), "--species", "Na", "Cl"]
    words += ["--dtype", "float64", "--name", "Matgl_TensorNet", "--output", str(folder)]
    assert export_main([str(folder / "tensornet"), *words, "--install", "environment"]) == 0
    peers.require_agreement(
        "Matgl_TensorNet__MO_000000000000_000", structures, answers["results"]["tensornet"]
    )


def test_m3gnet_becomes_torchscript_with_matgls_results(answers, folder, peers_python):
    foreign = Foreign("matgl", species=["Cl", "Na"], dtype="float64", python=peers_python)
    loaded = load(folder / "m3gnet", foreign=foreign)
    assert loaded.model.species == ["Cl", "Na"]
    assert loaded.origin.way == "torchscript"
    assert loaded.origin.parity.relative < 1e-10


def test_two_ranks_need_no_edges_into_the_last_shell(answers):
    assert max(answers["ranks"].values()) < 1e-11


def test_how_far_a_network_sees_and_how_smooth_it_is(answers):
    facts = answers["facts"]
    assert [facts[name][:3] for name in ("tensornet", "rotations", "m3gnet")] == [
        [["Na", "Cl", "O"], 3.6, 2],
        [["Na", "Cl", "O"], 3.6, 3],
        [["Na", "Cl", "O"], 3.6, 2],
    ]
    assert "force constants are not" in facts["tensornet"][3]
    assert facts["m3gnet"][3:] == ["reference energies in the energies: Na -31.5 Cl -42.5 O -17 eV"]
    assert "its forces are not" in facts["rough"][3]


@pytest.mark.parametrize(
    ("case", "reason"),
    {
        "average": "predicts an average over the atoms",
        "angles": "complex functions of angles (use_phi)",
        "mean": "adds data_mean, 2 eV, to each structure",
        "repulsion": "has a nuclear repulsion (calc_repuls)",
        "lacking": "lacks model.linear.weight",
        "stranger": "names a class of os.path, expected classes of matgl only",
        "bare": "holds a TensorNet without the energies of the elements",
        "chgnet": "a network of the class CHGNet: no adapter",
        "absent": "has no model.json, expected the folder of a saved Potential",
        "head": "has no heads, expected no head instead of 'pbe'",
        "species": "species has 'Si', which",
    }.items(),
)
def test_reasons_are_given(answers, case, reason):
    assert reason in answers["refusals"][case]
