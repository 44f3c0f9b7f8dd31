"""Neighbour lists from which LAMMPS leaves pairs out: exclusions, bonds, and fix gcmc."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from torchml import Potential, TorchMLError
from torchml.validation.lammps import run_lammps

CURE = "special_bonds lj/coul 1 1 1.*neigh_modify exclude.*TORCHML_NEIGHBORS=excluded"

# Silicon with oxygen in both halves of the box, so that both of two ranks have some.
SOLID = """
units metal
atom_style atomic
kim init ${model} metal
lattice diamond 5.431
region box block 0 2 0 2 0 2
create_box 2 box
create_atoms 1 box
mass 1 28.0855
mass 2 15.999
kim interactions Si O
displace_atoms all random 0.05 0.05 0.05 77
create_atoms 2 single 0.6 0.6 0.6
create_atoms 2 single 1.6 1.6 0.6
create_atoms 2 single 0.6 1.6 1.6
create_atoms 2 single 1.1 0.6 1.6
group oxygen type 2
thermo_modify format float %.12f
"""

EXCLUDED = (
    SOLID
    + """
neigh_modify exclude group oxygen all
thermo_style custom step pe press
run 0
variable energy equal pe
variable pressure equal press
print "EXCLUDED ${energy} ${pressure}"
neigh_modify exclude none
delete_atoms group oxygen
run 0
print "DELETED ${energy} ${pressure}"
"""
)

# All pairs of one element: substrates that do not move are often simulated so.
SUBSTRATE = SOLID + "neigh_modify exclude type 1 1\nrun 0\n"
HALF = SOLID + "group some id 1:20\nneigh_modify exclude group some some\nrun 0\n"
ONE_PAIR = SOLID + "neigh_modify exclude type 1 2\nrun 0\n"

MOLECULES = """molecules of three atoms

6 atoms
4 bonds
2 angles
2 atom types
1 bond types
1 angle types

0 30 xlo xhi
0 12 ylo yhi
0 12 zlo zhi

Masses

1 28.0855
2 15.999

Atoms # full

1 1 1 0 1.00 1.00 1.00
2 1 2 0 2.56 1.02 1.00
3 1 2 0 0.76 2.53 1.00
4 2 1 0 16.50 1.20 1.40
5 2 2 0 18.06 1.20 1.40
6 2 2 0 16.26 2.73 1.40

Bonds

1 1 1 2
2 1 1 3
3 1 4 5
4 1 4 6

Angles

1 1 2 1 3
2 1 5 4 6
"""

BONDED = """
units metal
atom_style full
kim init ${model} metal
read_data molecules.data
kim interactions Si O
bond_style zero
bond_coeff *
angle_style zero
angle_coeff *
special_bonds lj/coul ${special}
thermo_modify format float %.12f
run 0
variable energy equal pe
print "BONDED ${energy}"
"""

GAS = (
    SOLID
    + """
fix gas oxygen gcmc 1 8 8 2 29494 3000.0 -1.0 0.5 full_energy
run 6
unfix gas
neigh_modify exclude none
run 0
variable energy equal pe
print "GAS ${energy}"
write_dump all custom final.lammpstrj id type element x y z &
  modify element Si O sort id format float %.16g
"""
)


def numbers(log: str, word: str) -> list[float]:
    """The numbers that the script printed after this word."""
    (line,) = re.findall(rf"^{word} (.*)$", log, re.MULTILINE)
    return [float(number) for number in line.split()]


def bonded(model: str, folder: Path, special: str, ranks: int) -> float:
    """The energy of two molecules."""
    (folder / "molecules.data").write_text(MOLECULES)
    log = run_lammps(BONDED, folder, ranks, {"model": model, "special": special})
    return numbers(log, "BONDED")[0]


@pytest.fixture(params=["edges", "graph"])
def model(request, installed):
    """A model of silicon and oxygen, cutoff 4 Å, three layers."""
    return installed("binary", request.param)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("script", [EXCLUDED, SUBSTRATE, ONE_PAIR], ids=["group", "type", "pair"])
def test_excluded_pairs_are_an_error_that_names_the_cure(script, ranks, installed, tmp_path):
    with pytest.raises(TorchMLError, match=f"neighbour list of particle .* lacks .*{CURE}"):
        run_lammps(script, tmp_path, ranks, {"model": installed("binary", "edges").name})


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_excluded_group_has_no_energy_where_that_is_asked(ranks, model, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHML_NEIGHBORS", "excluded")
    log = run_lammps(EXCLUDED, tmp_path, ranks, {"model": model.name})
    assert numbers(log, "EXCLUDED") == pytest.approx(numbers(log, "DELETED"), rel=1e-10)


@pytest.mark.parametrize("script", [SUBSTRATE, HALF], ids=["type", "half"])
def test_excluded_pairs_of_atoms_that_stay_remain_an_error(
    script, installed, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCHML_NEIGHBORS", "excluded")
    with pytest.raises(TorchMLError, match="neighbour list"):
        run_lammps(script, tmp_path, 1, {"model": installed("binary", "edges").name})


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("special", ["0 0 0", "0 1 1", "1 0 1"])
def test_bonds_with_factors_of_zero_are_an_error(special, ranks, installed, tmp_path):
    with pytest.raises(TorchMLError, match=CURE):
        bonded(installed("binary", "edges").name, tmp_path, special, ranks)


@pytest.mark.parametrize("ranks", [1, 2])
def test_bonds_with_factors_of_one_have_the_full_energy(ranks, model, tmp_path):
    energy = bonded(model.name, tmp_path, "1 1 1", ranks)
    atoms = read(tmp_path / "molecules.data", format="lammps-data", units="metal")
    assert energy == pytest.approx(Potential(model.archive).evaluate(atoms).energy, rel=1e-10)


def test_lists_count_as_they_are_where_that_is_asked(model, tmp_path, monkeypatch):
    full = bonded(model.name, tmp_path, "1 1 1", 1)
    monkeypatch.setenv("TORCHML_NEIGHBORS", "as_given")
    assert abs(bonded(model.name, tmp_path, "0 0 0", 1) - full) > 1e-6


def test_a_wrong_policy_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHML_NEIGHBORS", "all")
    with pytest.raises(TorchMLError, match="TORCHML_NEIGHBORS is 'all', expected complete"):
        bonded(model.name, tmp_path, "1 1 1", 1)


@pytest.mark.parametrize("ranks", [1, 2])
def test_gcmc_needs_the_policy(ranks, model, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHML_NEIGHBORS", "excluded")
    log = run_lammps(GAS, tmp_path, ranks, {"model": model.name})
    atoms = read(tmp_path / "final.lammpstrj", format="lammps-dump-text")
    assert len(atoms) >= 64
    expected = Potential(model.archive).evaluate(atoms).energy
    assert numbers(log, "GAS")[0] == pytest.approx(expected, rel=1e-9)
    assert np.isfinite(expected)


def test_gcmc_without_the_policy_is_an_error(installed, tmp_path):
    with pytest.raises(TorchMLError, match=CURE):
        run_lammps(GAS, tmp_path, 1, {"model": installed("binary", "edges").name})
