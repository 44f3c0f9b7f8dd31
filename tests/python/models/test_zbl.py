"""The repulsion of nuclei, against its formula and LAMMPS."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.io.lammpsdata import write_lammps_data

from torchml.errors import TorchMLError
from torchml.models import ZBL
from torchml.reference.model import EagerModel

LAMMPS = """\
units metal
read_data zbl.data
pair_style zbl 0.9 1.8
pair_coeff 1 1 14 14
pair_coeff 1 2 14 8
pair_coeff 2 2 8 8
thermo_style custom pe
thermo_modify format float %.15g norm no
dump forces all custom 1 forces.dump id fx fy fz
dump_modify forces sort id format float %.15g
run 0
variable energy equal pe
print "energy $(v_energy:%.15g)"
"""


def evaluator(model):
    spec = SimpleNamespace(
        species=model.species,
        cutoff=model.cutoff,
        layers=1,
        species_input="code",
        input_dtype="float64",
    )
    return EagerModel(model, spec)


def pair(model, codes, r):
    """Energy of two atoms, and its derivatives by the distance up to the third."""
    r = torch.tensor(r, dtype=torch.float64, requires_grad=True)
    vectors = torch.stack([r, -r]).unsqueeze(1) * torch.tensor([[0.36, 0.48, 0.8]], dtype=r.dtype)
    index = torch.tensor([[1, 0], [0, 1]])
    value = model(torch.tensor(codes), vectors, index, [2, 2], [2]).sum()
    values = [value]
    for _ in range(3):
        (value,) = torch.autograd.grad(value, r, create_graph=True)
        values.append(value)
    return [one.item() for one in values]


def test_energy_and_forces_are_those_of_lammps(tmp_path):
    atoms = bulk("Si", "diamond", a=3.4, cubic=True)
    atoms.symbols = ["Si", "O"] * 4
    atoms.rattle(0.25, seed=3)
    write_lammps_data(tmp_path / "zbl.data", atoms, specorder=["Si", "O"], masses=True)
    command = ["lmp", "-log", "none"]
    done = subprocess.run(
        command, input=LAMMPS, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    energy = float(done.stdout.split("\nenergy ")[1].split()[0])
    forces = np.loadtxt(tmp_path / "forces.dump", skiprows=9)[:, 1:]

    found = evaluator(ZBL(["O", "Si"], 0.9, 1.8)).evaluate(atoms)
    assert energy > 100
    assert found.energy == pytest.approx(energy, rel=1e-12)
    assert np.abs(found.forces - forces).max() < 1e-12 * np.abs(forces).max()


def test_the_energy_of_close_nuclei_is_the_coulomb_energy_screened():
    """At the outer distance the switch makes up for the whole energy, so compare slopes."""
    r, a = 0.1, 0.46850 / (14**0.23 + 8**0.23)
    x = r / a
    terms = [
        (0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162),
    ]  # fmt: skip
    screening = sum(c * np.exp(-d * x) for c, d in terms)
    change = sum(-c * d * np.exp(-d * x) for c, d in terms)
    slope = 14 * 8 * 14.399645 * (change / (a * r) - screening / r**2)
    found = pair(ZBL(["Si", "O"]), [0, 1], r)[1]
    assert found == pytest.approx(slope, rel=1e-12)


@pytest.mark.parametrize("codes", [[0, 0], [0, 1], [1, 1]])
def test_energy_slope_and_curvature_end_at_the_outer_distance(codes):
    model = ZBL(["Si", "O"])
    radius = {0: 1.11, 1: 0.66}
    outer = 0.7 * sum(radius[code] for code in codes)
    start = pair(model, codes, 0.5 * outer)
    end = pair(model, codes, outer - 1e-6)
    assert abs(end[0]) < 1e-12 * start[0]
    assert abs(end[1]) < 1e-8 * abs(start[1])
    assert abs(end[2]) < 1e-4 * start[2]
    assert pair(model, codes, outer + 1e-6)[:2] == [0.0, 0.0]
    inner = [pair(model, codes, 0.5 * outer + shift)[:3] for shift in (-1e-7, 1e-7)]
    np.testing.assert_allclose(*inner, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((1.0,), "inner is 1.0 and outer is None, expected both distances or none"),
        ((1.0, 0.5), "inner is 1.0 Å and outer is 0.5 Å, expected 0 < inner < outer"),
        ((0.0, 0.5), "expected 0 < inner < outer"),
    ],
)
def test_distances_out_of_order_are_an_error(arguments, sentence):
    with pytest.raises(TorchMLError, match=sentence.replace(".", r"\.")):
        ZBL(["Si"], *arguments)
