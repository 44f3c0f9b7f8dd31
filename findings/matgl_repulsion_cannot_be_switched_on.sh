#!/usr/bin/env bash
# MatGL's repulsion of nuclei, Potential(calc_repuls=True), ends with an AttributeError for every model.
#
# Versions: matgl 4.1.0, torch 2.13.0 (CPU), ASE 3.29.0, Python 3.11
# Input:    rattled silicon; M3GNet and TensorNet with random weights, calc_repuls off and on.
# Seen:     off, both give an energy. On, the repulsion reads bond_dist from the graph that the
#           caller made, but models compute distances on a copy of theirs, and nothing else sets it:
#               M3GNet     off: an energy   on: no attribute 'bond_dist'
#               TensorNet  off: an energy   on: no attribute 'bond_dist'
# Effect:   models of matgl have no short-range repulsion from this option, in training or in ASE; a
#           checkpoint with zbl parameters of an older version cannot be evaluated as it was.
#
# Ends with 0 if MatGL still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 matgl==4.1.0 ase==3.29.0 'setuptools==80.9.0'
cd "$folder"
cat >show.py <<'PY'
import warnings

warnings.simplefilter("ignore")
import torch
from ase.build import bulk
from matgl.apps.pes import Potential
from matgl.ext.ase import PESCalculator
from matgl.models import M3GNet, TensorNet

atoms = bulk("Si", cubic=True)
atoms.rattle(0.1, seed=1)
for network in (M3GNet, TensorNet):
    torch.manual_seed(0)
    model = network(element_types=("Si",), is_intensive=False)
    seen = {}
    for repulsion in (False, True):
        here = atoms.copy()
        here.calc = PESCalculator(Potential(model, calc_repuls=repulsion))
        try:
            seen[repulsion] = f"{here.get_potential_energy():.4f}"
        except AttributeError as error:
            seen[repulsion] = str(error)
    print(f"{network.__name__:10} off: {seen[False]}   on: {seen[True]}")
    assert float(seen[False]) == float(seen[False]) and "bond_dist" in seen[True]
PY
venv/bin/python show.py
