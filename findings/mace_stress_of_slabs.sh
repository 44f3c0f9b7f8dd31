#!/usr/bin/env bash
# MACE's calculator divides the virial of a slab by a volume that depends on where the slab lies.
#
# Versions: mace-torch 0.3.16, torch 2.13.0 (CPU), ASE 3.29.0, Python 3.11
# Input:    silicon with 6 Å of vacuum, pbc (T, T, F), cell complete; a small MACE with random
#           weights; the same slab moved by 20 Å along z.
# Seen:     energy and forces do not change. get_stress differs by a factor from the derivative of the
#           energy with the strain over the cell's volume, and it changes when the slab is moved,
#           because along directions without a period the cell is replaced by one of length
#           5 * cutoff * (largest coordinate + 1), whose volume divides the virial:
#               TTT        -2.3182e-04 eV/A^3, as by finite differences
#               TTF        -2.5747e-05         0.1111 of that
#               TTF moved  -5.2933e-06         0.0228 of that
# Effect:   stresses of slabs as labels, or from another engine of the same model, do not compare.
#
# Ends with 0 if MACE still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 mace-torch==0.3.16 ase==3.29.0 setuptools==80.9.0
cd "$folder"
cat >show.py <<'PY'
import warnings

warnings.simplefilter("ignore")
import numpy as np
import torch
from ase.build import bulk

torch.serialization.add_safe_globals([slice])  # which e3nn 0.4.4 needs to be imported
from e3nn import o3
from mace import modules
from mace.calculators import MACECalculator

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
model = modules.ScaleShiftMACE(
    r_max=4.0, num_bessel=4, num_polynomial_cutoff=5, max_ell=1, interaction_cls=block,
    interaction_cls_first=block, num_interactions=2, num_elements=1, hidden_irreps=o3.Irreps("4x0e"),
    MLP_irreps=o3.Irreps("4x0e"), gate=torch.nn.functional.silu, atomic_energies=np.array([0.0]),
    avg_num_neighbors=10.0, atomic_numbers=[14], correlation=2, atomic_inter_scale=1.0,
    atomic_inter_shift=0.0,
)


def calculated(pbc, shift):
    """Energy, xx of the stress, and the same by finite differences with the cell's own volume."""
    def atoms_at(strain):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.05, seed=1)
        atoms.cell[2, 2] += 6.0
        atoms.pbc = pbc
        atoms.positions[:, 2] += shift
        atoms.set_cell(atoms.cell.array @ np.diag([1 + strain, 1, 1]), scale_atoms=True)
        atoms.calc = MACECalculator(models=[model], device="cpu", default_dtype="float64")
        return atoms

    atoms, step = atoms_at(0.0), 1e-4
    slope = (atoms_at(step).get_potential_energy() - atoms_at(-step).get_potential_energy()) / (2 * step)
    return atoms.get_potential_energy(), atoms.get_stress()[0], slope / atoms.get_volume()


results = {}
for name, pbc, shift in (("TTT", True, 0), ("TTF", (True, True, False), 0), ("TTF moved", (True, True, False), 20)):
    energy, stress, slope = calculated(pbc, shift)
    results[name] = stress / slope
    print(f"{name:10} energy {energy:.6f} eV  xx of get_stress {stress:.4e}  dE/d(strain)/V {slope:.4e} eV/A^3"
          f"  ratio {stress / slope:.4f}")
assert abs(results["TTT"] - 1) < 1e-4
assert results["TTF"] < 0.5 and results["TTF moved"] < 0.5 * results["TTF"]
PY
venv/bin/python show.py
