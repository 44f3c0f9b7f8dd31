#!/usr/bin/env bash
# Under CHGNet 0.2.0 a molecule 40 Å away changes the energy of another by 0.25 eV.
#
# Versions: chgnet 0.4.2 (its models 0.3.0 and 0.2.0), torch 2.13.0 (CPU), ASE 3.29.0, Python 3.11
# Input:    O2 and Li3O in one box, 40 Å apart, and each alone in the same box. Four layers of 6 Å see 24 Å.
# Seen:     layers of 0.2.0 add constants to the features of all bonds as soon as there is an angle anywhere
#           in the structure; O2 alone has none. 0.3.0 does not (eV):
#               0.3.0  O2 -9.62113  Li3O -12.52633  both -22.14746  both - sum 0.00000
#               0.2.0  O2 -9.80768  Li3O -12.69681  both -22.25051  both - sum 0.25397
# Effect:   energies of adsorption and dissociation, and of dimer curves, contain a constant that belongs to
#           no interaction; an engine that computes atoms from their surroundings cannot give it.
#
# Ends with 0 if CHGNet still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 chgnet==0.4.2 ase==3.29.0
cd "$folder"
cat >show.py <<'PY'
import warnings

warnings.simplefilter("ignore")
from ase import Atoms
from chgnet.model import CHGNet
from chgnet.model.dynamics import CHGNetCalculator

CELL = [60.0, 20.0, 20.0]
oxygen = Atoms("O2", [[5, 5, 5], [5, 5, 6.21]], cell=CELL, pbc=True)
other = Atoms("LiLiLiO", [[46.6, 5, 5], [43.4, 5.3, 5], [45, 6.6, 5], [45, 5, 5]], cell=CELL, pbc=True)
excess = {}
for version in ("0.3.0", "0.2.0"):
    model = CHGNet.load(model_name=version, use_device="cpu", verbose=False)
    calculator = CHGNetCalculator(model, use_device="cpu")

    def energy(atoms):
        atoms.calc = calculator
        return float(atoms.get_potential_energy())

    first, second, both = energy(oxygen.copy()), energy(other.copy()), energy(oxygen + other)
    excess[version] = both - first - second
    print(f"{version}  O2 {first:.5f}  Li3O {second:.5f}  both {both:.5f}  both - sum {excess[version]:.5f}")
assert abs(excess["0.3.0"]) < 1e-4 and abs(excess["0.2.0"]) > 0.1
PY
venv/bin/python show.py
