#!/usr/bin/env bash
# MatGL's calculator takes a slab or wire for a cluster: bonds across its periodic borders are lost.
#
# Versions: matgl 4.1.0, torch 2.13.0 (CPU), ASE 3.29.0, Python 3.11
# Input:    rattled silicon, 8 atoms, with 12 Å of vacuum along z; TensorNet and M3GNet with random
#           weights; periodic in three directions, in x and y alone, and in none.
# Seen:     unless all three directions are periodic the cell is not used, without a warning. The slab
#           has the energy of the cluster to the last digit, and not that of the same slab with a period
#           along the vacuum (eV):
#               TensorNet  TTT 0.361944  TTF 0.362901  FFF 0.362901
#               M3GNet     TTT -0.443713  TTF -0.444276  FFF -0.444276
# Effect:   surfaces, wires and two-dimensional materials with the pbc that ASE's builders give them relax as
#           clusters with free edges. pbc=True with vacuum gives the right energy.
#
# Ends with 0 if MatGL still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 matgl==4.1.0 ase==3.29.0
cd "$folder"
cat >show.py <<'PY'
import warnings

warnings.simplefilter("ignore")
import torch
from ase.build import bulk
from matgl.apps.pes import Potential
from matgl.ext.ase import PESCalculator
from matgl.models import M3GNet, TensorNet

torch.manual_seed(0)
for network in (TensorNet, M3GNet):
    model = network(element_types=("Si",), is_intensive=False, units=8, nblocks=1)
    calculator = PESCalculator(Potential(model=model), stress_unit="eV/A3")
    energies = {}
    for name, pbc in (("TTT", True), ("TTF", (True, True, False)), ("FFF", False)):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.05, seed=1)
        atoms.cell[2, 2] += 12.0
        atoms.pbc = pbc
        atoms.calc = calculator
        energies[name] = atoms.get_potential_energy()
    print(f"{network.__name__:9} ", *(f"{name} {energy:.6f} " for name, energy in energies.items()))
    assert energies["TTF"] == energies["FFF"]
    assert abs(energies["TTF"] - energies["TTT"]) > 1e-4
PY
venv/bin/python show.py
