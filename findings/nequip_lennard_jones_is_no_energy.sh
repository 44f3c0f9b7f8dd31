#!/usr/bin/env bash
# NequIP's pair potential LennardJones gives an error, or four times the forces of two atoms.
#
# Versions: nequip 0.19.1, torch 2.13.0 (CPU), ASE 3.29.0, Python 3.11
# Input:    chains of argon atoms; a NequIP with random weights alone, and with pair_potential
#           nequip.nn.pair_potential.LennardJones, lj_sigma 3.4, lj_epsilon 0.01, other options as they are.
# Seen:     lengths have the shape (edges, 1), parameters of the edges' types (edges,): their product pairs
#           every edge with every edge. The model then ends with an error, unless there are as many edges
#           as atoms: the energy of two atoms is a matrix, and its forces are four times the right ones:
#               2 atoms, 2 edges   shape (1, 2, 2)   force 0.068456, expected 0.017114
#               3 atoms, 4 edges   RuntimeError: The size of tensor a (4) must match the size of tensor b (3)
#           SimpleLennardJones, which has no such parameters, does not take the arguments of the builder.
# Effect:   no model of NequIP can have a Lennard-Jones term below its network; ZBL works.
#
# Ends with 0 if NequIP still behaves so, else with 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 nequip==0.19.1 ase==3.29.0
cd "$folder"
cat >show.py <<'PY'
import warnings

warnings.simplefilter("ignore")
import torch
from ase import Atoms
from nequip.data import AtomicDataDict, from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state

set_global_state()
CUTOFF, SIGMA, EPSILON, DISTANCE = 6.0, 3.4, 0.01, 3.5


def network(pair_potential):
    return NequIPGNNModel(seed=1, model_dtype="float64", r_max=CUTOFF, type_names=["Ar"], num_layers=1,
                          l_max=1, num_features=4, avg_num_neighbors=2.0, pair_potential=pair_potential)


def computed(model, count):
    atoms = Atoms(f"Ar{count}", [[0, 0, DISTANCE * k] for k in range(count)])
    data = ChemicalSpeciesToAtomTypeMapper(["Ar"])(from_ase(atoms))
    data = model(NeighborListTransform(r_max=CUTOFF)(data))
    return data[AtomicDataDict.TOTAL_ENERGY_KEY].detach(), data[AtomicDataDict.FORCE_KEY].detach()


def pair_force():
    """Of 4 epsilon (s^12 - s^6) times the polynomial cutoff with exponent 6, on the second atom."""
    r = torch.tensor(DISTANCE, dtype=torch.float64, requires_grad=True)
    x, p = r / CUTOFF, 6
    cut = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
    six = (SIGMA / r) ** 6
    (4 * EPSILON * (six**2 - six) * cut).backward()
    return -r.grad.item()


def term(kind):
    return {"_target_": f"nequip.nn.pair_potential.{kind}", "lj_sigma": SIGMA, "lj_epsilon": EPSILON}


alone, joined = network(None), network(term("LennardJones"))
network_force = computed(alone, 2)[1][1, 2].item()
energy, forces = computed(joined, 2)
force, right = forces[1, 2].item(), network_force + pair_force()
print(f"2 atoms, 2 edges   shape {tuple(energy.shape)}   force {force:.6f}, expected {right:.6f}")
assert energy.numel() == 4 and abs(force / right - 4) < 1e-6
try:
    computed(joined, 3)
except RuntimeError as error:
    print(f"3 atoms, 4 edges   RuntimeError: {str(error).splitlines()[0]}")
else:
    raise SystemExit("three atoms have an energy")
try:
    network(term("SimpleLennardJones"))
except Exception as error:
    print(f"SimpleLennardJones {type(error).__name__}: {str(error).splitlines()[-1]}")
else:
    raise SystemExit("SimpleLennardJones can be added")
PY
venv/bin/python show.py
