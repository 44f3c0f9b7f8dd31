#!/usr/bin/env bash
# Extended XYZ written by ASE has the energy and forces of positions that the atoms had before.
#
# Version:  ase 3.29.0 (Python 3.11)
# Input:    atoms whose calculator (EMT, or labels that were read from a file) has results, then
#           atoms.rattle(), then ase.io.write.
# Seen:     NAME.extxyz has the new positions and the energy and forces of the old ones, without a
#           warning. ASE knows that they do not fit: NAME.traj and NAME.json of the same atoms have no
#           results, and atoms.get_potential_energy() computes anew or, for labels that were read,
#           raises PropertyNotImplementedError.
# Effect:   "read, rattle, write" gives training data with wrong labels.
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
from ase.build import bulk
from ase.calculators.emt import EMT

crystal = bulk("Cu", cubic=True)
crystal.calc = EMT()
old = crystal.get_potential_energy()
crystal.get_forces()
ase.io.write("labelled.extxyz", crystal)
for name, atoms in (("computed", crystal), ("read", ase.io.read("labelled.extxyz"))):
    atoms.rattle(0.1, seed=1)
    right = atoms.copy()
    right.calc = EMT()
    print(f"{name}: right energy {right.get_potential_energy():.6f} eV, before rattling {old:.6f} eV")
    for ending in ("extxyz", "traj", "json"):
        ase.io.write(f"{name}.{ending}", atoms)
        written = ase.io.read(f"{name}.{ending}")
        energy = None if written.calc is None else written.calc.results.get("energy")
        print(f"  {name}.{ending}: energy {energy}")
        assert abs(written.positions - atoms.positions).max() < 1e-6
        assert energy == (old if ending == "extxyz" else None)
    assert abs(right.get_potential_energy() - old) > 0.1
PY
venv/bin/python -W error show.py
