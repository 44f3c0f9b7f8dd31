"""`torchml data inspect`: what is understood of files."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from helpers.labelled import configurations
from torchml import cli
from torchml.data import Configuration, Keys, Weights, write_extxyz, write_lmdb, write_parquet
from torchml.data.tools.arguments import keys_of
from torchml.data.tools.statistics import nearest_distances, statistics


def run(*words: str) -> int:
    return cli.main(["data", "inspect", *words])


def test_what_was_understood(capsys):
    some = configurations()
    some[0] = replace(some[0], weights=Weights(2.0, 1.0, 1.0), group="alloy")
    write_extxyz(some, "a.xyz")
    text = Path("a.xyz").read_text().replace("energy=", "my_energy=1 REF_energy=")
    Path("a.xyz").write_text(text)
    assert run("a.xyz", "--plot", "a.png") == 0
    shown = capsys.readouterr().out
    for line in (
        "a.xyz: 3 configurations, extxyz",
        "REF_energy as energy",
        "look out  my_energy: may be labels, and are not used",
        "elements    Cu: 6, Au: 2, C: 1, O: 2, Pt: 8, H: 2",
        "pbc         T T T: 1, T T F: 1, F F F: 1",
        "energy: 3, forces: 3, stress: 1, fixed atoms: 1, weights other than 1: 1",
        "groups      alloy: 1",
        "read as energy eV, length Å, forces eV/Å, stress eV/Å³",
        "energy per atom (eV): 3 values",
        "force components (eV/Å): 63 values",
        "distance to the nearest atom, up to 4 Å (Å): 21 values",
    ):
        assert line in shown
    assert matplotlib.image.imread("a.png").ndim == 3


def test_duplicates_and_stale_labels(capsys):
    some = configurations()
    stale = replace(some[2], positions=some[2].positions * 1.01)
    write_lmdb([*some, some[1], stale], "a.lmdb")
    assert run("a.lmdb") == 0
    shown = capsys.readouterr().out
    assert "1 duplicates: a.lmdb, configuration 3 equals a.lmdb, configuration 1" in shown
    assert "repeated labels: a.lmdb, configuration 4 has the energy and the forces of" in shown
    assert "sid" in shown and "y as energy" in shown


def test_several_files_and_units(capsys):
    write_extxyz(configurations(), "set/a.xyz")
    write_parquet(configurations(), "a.parquet")
    words = ("--keys", "energy=energy", "energy_unit=Ha", "stress=null")
    assert run("set/*.xyz", "a.parquet", *words) == 0
    shown = capsys.readouterr().out
    assert "set/a.xyz: 3 configurations" in shown and "a.parquet: 3 configurations" in shown
    assert "read as energy Ha" in shown and "stress: 1" not in shown
    assert "3 duplicates" in shown


def test_errors_are_one_sentence(capsys):
    for words, message in (
        (("none.xyz",), "none.xyz does not exist"),
        (("a.xyz", "--keys", "enrgy=E"), "--keys has 'enrgy=E', expected NAME=VALUE"),
        (("a.xyz", "--keys", "energy"), "--keys has 'energy'"),
    ):
        assert run(*words) == 1
        shown = capsys.readouterr().err
        assert shown.startswith("torchml data inspect: error: ") and message in shown
    with pytest.raises(SystemExit, match="2"):
        cli.main(["data"])
    assert "expected one of inspect" in capsys.readouterr().err


def test_keys_of_words():
    words = ["energy=E", "keys.forces=F", "stress=null", "targets=a,b", "allow_missing=true"]
    expected = Keys(energy="E", forces="F", stress=None, targets=["a", "b"], allow_missing=True)
    assert keys_of(words) == expected


def test_values_of_equal_configurations():
    one = configurations()[2]
    found = statistics([one])
    assert found.configurations == 1 and found.values["energy per atom (eV)"].shape == (1,)


def test_distances_are_those_of_nearest_atoms_and_images():
    atoms = bulk("Cu", a=3.6)
    atoms.cell[2] *= 3  # in a chain of planes; the nearest atom is an image
    far = Atoms("H2", [[0, 0, 0], [0, 0, 5.0]])
    one = Atoms("HeNeAr", [[0, 0, 0], [0, 0, 1.0], [0, 1.5, 1.0]])
    found = [nearest_distances(Configuration.from_atoms(a)) for a in (atoms, far, one)]
    np.testing.assert_allclose(found[0], [3.6 / np.sqrt(2)])
    assert len(found[1]) == 0
    np.testing.assert_allclose(found[2], [1.0, 1.0, 1.5])


def test_ids_and_relaxations_are_counted(capsys):
    c = replace(configurations()[2], energy=None, forces=None, sid="7", relaxed_energy=1.0)
    write_extxyz([c, replace(c, initial_energy=1.5, index=1)], "a.xyz")
    assert run("a.xyz") == 0
    shown = capsys.readouterr().out
    assert "labels      ids: 2, relaxed: 2" in shown
    assert "y_relaxed as relaxed energy" in shown and "energy of relaxation (eV): 1 value" in shown


def test_a_reader_that_stops_early_ends_without_a_traceback():
    write_extxyz(configurations(), "a.xyz")
    command = f"{sys.executable} -m torchml data inspect a.xyz | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
