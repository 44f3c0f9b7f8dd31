#!/usr/bin/env bash
# Simple DFT-D3 adds the three-body term where the parameters of a functional are given as numbers.
#
# Versions: dftd3 1.7.0, tad-dftd3 0.7.0, torch 2.13.0 (CPU), ASE 3.29.0, Python 3.11
# Input:    benzene, D3(BJ) with s8, a1 and a2 of PBE, by the functional's name and as numbers.
# Seen:     method="PBE" has s9 = 0, without the Axilrod-Teller-Muto term, but s9 is 1 where
#           params_tweaks does not name it; tad-dftd3, with the same three numbers in its dictionary
#           and no s9, leaves the term out again (eV):
#               dftd3, method="PBE"          -0.298158
#               dftd3, s8 a1 a2              -0.297901
#               dftd3, s8 a1 a2, s9 = 0      -0.298158
#               tad-dftd3, s8 a1 a2          -0.298158
# Effect:   dispersion of one functional differs between two ways to ask for it, and between programs.
#
# Ends with 0 if dftd3 and tad-dftd3 still behave so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 dftd3==1.7.0 tad-dftd3==0.7.0 ase==3.29.0
cd "$folder"
cat >show.py <<'PY'
import warnings

warnings.simplefilter("ignore")
import torch
from ase.build import molecule
from ase.units import Bohr, Hartree
from dftd3.ase import DFTD3
from tad_dftd3 import dftd3

PBE = {"s8": 0.7875, "a1": 0.4289, "a2": 4.4407}
benzene = molecule("C6H6")


def energy(**options):
    atoms = benzene.copy()
    atoms.calc = DFTD3(damping="d3bj", **options)
    return atoms.get_potential_energy()


numbers = torch.tensor(benzene.numbers)
positions = torch.tensor(benzene.positions / Bohr)
parameters = {name: torch.tensor(value, dtype=torch.double) for name, value in PBE.items()}
other = float(dftd3(numbers, positions, parameters).sum()) * Hartree
found = [
    ('dftd3, method="PBE"', energy(method="PBE")),
    ("dftd3, s8 a1 a2", energy(params_tweaks=PBE)),
    ("dftd3, s8 a1 a2, s9 = 0", energy(params_tweaks=PBE | {"s9": 0.0})),
    ("tad-dftd3, s8 a1 a2", other),
]
for name, value in found:
    print(f"{name:28} {value:.6f}")
named, three, without, tad = (value for _, value in found)
assert abs(named - without) < 1e-9 and abs(named - tad) < 1e-6 and three - named > 1e-4
PY
venv/bin/python show.py
