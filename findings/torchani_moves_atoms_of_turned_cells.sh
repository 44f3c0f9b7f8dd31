#!/usr/bin/env bash
# TorchANI loses pairs where a cell with a direction without a period is not along x, y and z.
#
# Version:  torchani 2.9.0, torch 2.13.0 (CPU), ASE 3.29.0, Python 3.11
# Input:    three atoms in a chain with one period, pbc (T, F, F): its cell vector along x, and the
#           same chain turned by 45 degrees about z.
# Seen:     before pairs are searched, atoms are mapped into the cell along all three cell vectors;
#           what was done along directions without a period is undone in the columns x, y, z of the
#           same number, which are those directions only if the cell lies along the axes. Otherwise
#           atoms end up where no lattice vector leads:
#               along x  ASE 1.020 2.059 2.828 2.828   TorchANI 1.020 2.059 2.828 2.828
#               turned   ASE 1.020 2.059 2.828 2.828   TorchANI 2.828 2.828
# Effect:   energies and forces of chains, slabs and their supercells depend on the frame.
#
# Ends with 0 if TorchANI still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 torchani==2.9.0 ase==3.29.0 setuptools==80.9.0
cd "$folder"
cat >show.py <<'PY'
import warnings

warnings.simplefilter("ignore")
import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from torchani.neighbors import AllPairs

CUTOFF = 3.0
chain = Atoms(
    "H3", [[0.0, 0.0, 0.0], [0.8485, -0.5657, 0.0], [2.8284, 0.0, 0.0]],
    cell=[[5.6569, 0, 0], [0, 14, 0], [0, 0, 20]], pbc=[True, False, False],
)
turned = chain.copy()
turned.rotate(45, "z", rotate_cell=True)
lost = []
for name, atoms in (("along x", chain), ("turned", turned)):
    expected = np.sort(neighbor_list("d", atoms, CUTOFF))[::2]
    pairs = AllPairs()(
        CUTOFF, torch.zeros(1, len(atoms), dtype=torch.long), torch.tensor(atoms.positions)[None],
        torch.tensor(atoms.cell.array), torch.tensor(atoms.pbc),
    )
    found = np.sort(pairs.distances.numpy())
    print(f"{name:8} ASE {' '.join(f'{d:.3f}' for d in expected)}   "
          f"TorchANI {' '.join(f'{d:.3f}' for d in found)}")
    lost.append(len(expected) - len(found))
assert lost[0] == 0 and lost[1] > 0
PY
venv/bin/python show.py
