#!/usr/bin/env bash
# An empty value in the comment line of an extended XYZ file swallows the next key.
#
# Version:  ase 3.29.0 (Python 3.11)
# Input:    a crystal whose comment line is  config_type= Lattice="5.5 0 0 0 5.5 0 0 0 5.5" Properties=...
#           Data sets have such lines where a program writes a label that is not set.
# Seen:     ase.io.read takes the text Lattice="..." as the value of config_type and returns an open
#           cluster: pbc [False, False, False], no cell. There is no warning. The same line with
#           config_type=bulk gives the crystal. `config_type=""` before Lattice does the same.
# Effect:   a potential is trained on molecules in place of crystals.
#
# Ends with 0 if ASE still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ase==3.29.0 numpy==2.4.6 scipy==1.17.1
cd "$folder"
cat >show.py <<'PY'
import ase.io

LATTICE = 'Lattice="5.5 0.0 0.0 0.0 5.5 0.0 0.0 0.0 5.5" Properties=species:S:1:pos:R:3 energy=-9.1'
found = {}
for name, start in (("set", "config_type=bulk"), ("empty", "config_type="), ("quotes", 'config_type=""')):
    with open(f"{name}.extxyz", "w") as file:
        file.write(f"2\n{start} {LATTICE}\nSi 0.0 0.0 0.0\nSi 1.4 1.4 1.3\n")
    atoms = ase.io.read(f"{name}.extxyz")
    found[name] = (bool(atoms.pbc.all()), round(float(atoms.cell.volume), 3))
    print(f"{start:18} pbc {atoms.pbc.tolist()}  volume {atoms.cell.volume:.1f}  info {atoms.info}")
assert found == {"set": (True, 166.375), "empty": (False, 0.0), "quotes": (False, 0.0)}, found
PY
venv/bin/python -W error show.py
