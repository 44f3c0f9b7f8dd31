"""TensorNet and M3GNet of matgl give the results of matgl's calculator wherever they run."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.calculators.kim import KIM

from helpers import peers
from helpers.portable import relative
from torchml.cli import export_main
from torchml.validation.lammps import evaluate_with_lammps


@pytest.fixture(scope="module")
def structures():
    return peers.salt()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("matgl")


@pytest.fixture(scope="module")
def answers(peers_python, folder, structures):
    return peers.answers(peers_python, Path(__file__).with_name("in_matgl.py"), folder, structures)


@pytest.mark.parametrize("network", ["tensornet", "m3gnet"])
def test_every_interface_gives_matgls_results(
    network, answers, folder, structures, peers_python, collection
):
    words = ["--from", "matgl", "--python", str(peers_python), "--species", "Na", "Cl"]
    words += ["--dtype", "float64", "--name", f"Matgl_{network}", "--output", str(folder)]
    assert export_main([str(folder / network), *words, "--install", "environment"]) == 0
    name = f"Matgl_{network}__MO_000000000000_000"
    ranks = {n: evaluate_with_lammps(name, structures, ["Na", "Cl"], ranks=n) for n in (1, 2)}
    for k, atoms in enumerate(structures):
        own = peers.results(answers["results"][network][k], atoms)
        for found in (ranks[1][k], ranks[2][k]):
            assert found.energy == pytest.approx(own.energy, rel=1e-10)
            assert relative(found.forces, own.forces) < 1e-8
            if own.virial is not None:
                assert relative(found.virial, own.virial) < 1e-8
        atoms.calc = KIM(name)
        assert atoms.get_potential_energy() == pytest.approx(own.energy, rel=1e-10)
        assert relative(atoms.get_forces(), own.forces) < 1e-8


def test_two_ranks_need_no_edges_into_the_last_shell(answers):
    assert max(answers["ranks"].values()) < 1e-11


def test_how_far_a_network_sees_and_how_smooth_it_is(answers):
    facts = answers["facts"]
    assert [facts[name][:3] for name in ("tensornet", "rotations", "m3gnet")] == [
        [["Na", "Cl", "O"], 3.6, 3],
        [["Na", "Cl", "O"], 3.6, 2],
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
