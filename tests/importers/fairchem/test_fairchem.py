"""eSCN-MD of fairchem gives the results of fairchem's calculator wherever it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import peers
from torchml.cli import export_main


@pytest.fixture(scope="module")
def structures():
    return peers.salt()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fairchem")


@pytest.fixture(scope="module")
def answers(peers_python, folder, structures):
    return peers.answers(
        peers_python, Path(__file__).with_name("in_fairchem.py"), folder, structures
    )


def test_every_interface_gives_fairchems_results(
    answers, folder, structures, peers_python, collection
):
    words = ["--from", "fairchem", "--python", str(peers_python), "--head", "omat"]
    words += ["--dtype", "float64", "--name", "Fairchem_eSEN", "--output", str(folder)]
    assert export_main([str(folder / "esen.pt"), *words, "--install", "environment"]) == 0
    peers.require_agreement(
        "Fairchem_eSEN__MO_000000000000_000", structures, answers["results"]["esen"]
    )


def test_two_ranks_need_no_edges_into_the_last_shell(answers):
    assert max(answers["ranks"].values()) < 1e-12


def test_what_a_head_fixes_and_how_far_the_network_sees(answers):
    assert answers["facts"] == {
        "esen": [
            ["Na", "Cl"],
            3.6,
            2,
            "fixed: data set omat, charge 0, spin 0 of the whole system",
        ],
        "charged": [
            ["O", "Na", "Cl"],
            3.6,
            2,
            "fixed: data set omol, charge 1, spin 2 of the whole system",
        ],
        "uma": [["Na", "Cl"], 3.6, 3, "fixed: data set omat, charge 0, spin 0 of the whole system"],
        "high": [
            ["O", "Na", "Cl"],
            3.6,
            2,
            "fixed: data set omol, charge 0, spin 1 of the whole system",
        ],
    }


@pytest.mark.parametrize(
    ("case", "reason"),
    {
        "esen None": "has several data sets, expected head to be omat | omol",
        "esen oc20": "has no data set 'oc20', expected head to be omat | omol",
        "esen omat:charge=much": "head has 'charge=much', expected charge=, spin= with a whole",
        "esen omat:composition=NaCl": "has no mixture of experts",
        "uma omat": "mixes 3 experts by the composition of the whole system",
        "direct omat": "predicts forces that are not the derivative of its energy",
        "balanced omat": "balances charge over the whole system",
        "random omat": "depends on an angle that fairchem draws at random",
        "mean omat": "adds 2 eV to each structure",
        "plain omat": "not a readable inference checkpoint of fairchem",
        "absent omat": "no such file, expected an inference checkpoint",
    }.items(),
)
def test_reasons_are_given(answers, case, reason):
    assert reason in answers["refusals"][case]
