"""A sum of a network, a repulsion and D3 in LAMMPS, on one and two ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk

from helpers.d3 import d3
from helpers.portable import relative, write_model
from torchml import Potential, kim
from torchml.contract import metadata
from torchml.models import ZBL, Scaled, SchNet, Sum, describe, script
from torchml.validation.lammps import evaluate_with_lammps

SPECIES = ["Si", "O"]


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    network = Scaled(SchNet(SPECIES, 3.0, layers=3, features=6, gaussians=5))
    network.set_normalization({"Si": -3.0, "O": 5.0}, 3.0)
    return [network, ZBL(["O", "Si"], 0.9, 1.9), d3(["H", "O", "Si"], 7.0, 5.0)]


@pytest.fixture(scope="module")
def name(parts, collection, tmp_path_factory):
    folder = tmp_path_factory.mktemp("portable")
    example = write_model(Sum(parts), "sum_of_three", "edges", folder)
    kim.install(example.folder, "environment")
    return example.name


@pytest.fixture(scope="module")
def atoms():
    atoms = bulk("Si", "diamond", a=4.4, cubic=True).repeat((4, 1, 1))
    atoms.symbols = ["Si", "O"] * (len(atoms) // 2)
    atoms.rattle(0.15, seed=3)
    return atoms


@pytest.mark.parametrize("ranks", [1, 2])
def test_energy_forces_and_virial_are_the_sums_of_the_parts(ranks, name, parts, atoms, tmp_path):
    (found,) = evaluate_with_lammps(name, [atoms], SPECIES, ranks=ranks)
    alone = []
    for k, part in enumerate(parts):
        path = tmp_path / f"{k}.pt"
        metadata.save(script(part, "edges"), path, describe(part, "edges"))
        alone.append(Potential(path).evaluate(atoms, virial=True))
    assert found.energy == pytest.approx(sum(one.energy for one in alone), rel=1e-12)
    assert relative(found.forces, sum(one.forces for one in alone)) < 1e-11
    assert relative(found.virial, sum(one.virial for one in alone)) < 1e-8
    assert all(np.abs(one.forces).max() > 1e-2 for one in alone)
