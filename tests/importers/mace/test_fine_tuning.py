"""A MACE that is trained further: energies of isolated atoms in LAMMPS are those of the log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.lj import LennardJones

from helpers.mace_models import random_mace
from torchml import export_model, fit
from torchml.data import Configuration
from torchml.importers.checkpoint import load_fine_tuned, load_start
from torchml.importers.fine_tuned import tensor_of
from torchml.importers.imported import of_description
from torchml.validation.lammps import evaluate_with_lammps

SPECIES = ["H", "C"]


def structures(count: int) -> list[Configuration]:
    """Clusters of both elements with forces of Lennard-Jones atoms, 30 eV per atom lower."""
    generator = np.random.default_rng(0)
    grid = 1.25 * np.stack(np.meshgrid(*[np.arange(2.0)] * 3), axis=-1).reshape(-1, 3)
    found = []
    for _ in range(count):
        n = int(generator.integers(3, 9))
        atoms = Atoms(["HC"[k % 2] for k in range(n)], grid[:n] + generator.normal(0, 0.03, (n, 3)))
        atoms.calc = LennardJones(rc=3.0, smooth=True)
        one = Configuration.from_atoms(atoms)
        found.append(
            replace(one, energy=atoms.get_potential_energy() - 30.0 * n, forces=atoms.get_forces())
        )
    return found


def test_isolated_atoms_in_lammps_have_the_reference_energies_of_the_log(
    scratch: Path, collection: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(random_mace(SPECIES, "4x0e+4x1o", scale=0.7), "mace.model")
    rule = {"file": "mace.model", "source": "mace", "freeze": ["blocks.0"], "rate": 1.0}
    run = fit(
        {"model": {"init_args": {"init_from": rule}}, "plots": False},
        data=structures(8),
        data__split={"val": 2},
        data__batch_size=2,  # the averages of weights begin with the second step
        trainer={"max_epochs": 1, "accelerator": "cpu", "logger": False},
    )
    Path("mace.model").unlink()
    words = [line.split() for line in capsys.readouterr().out.splitlines() if " -> " in line]
    named = {line[0]: float(line[3]) for line in words}
    assert set(named) == set(SPECIES) and all(-60.0 < one < -10.0 for one in named.values())

    name = "MACE_tuned__MO_000000000000_000"
    export_model(run.best, name=name, install="environment")
    alone = [Atoms(one, cell=[20.0] * 3, pbc=True) for one in SPECIES]
    for one, found in zip(SPECIES, evaluate_with_lammps(name, alone, SPECIES), strict=True):
        assert found.energy == pytest.approx(named[one], abs=1e-6)

    # The checkpoint has the plan of the network, the frozen layer to the bit, and its symmetry.
    tuned = load_fine_tuned(run.best)
    plain, base = load_start(run.best)
    assert set(base) == {"imported"} and plain.cutoff == 4.0
    first = of_description(base["imported"]).network
    assert {one.split(".")[1] for one in tuned.frozen} == {"0"}
    for frozen in tuned.frozen:
        assert torch.equal(tensor_of(plain.network, frozen), tensor_of(first, frozen))
    for trained in tuned.trained:
        assert not torch.equal(tensor_of(plain.network, trained), tensor_of(first, trained))
    x = torch.tensor(structures(1)[0].positions)
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    codes = torch.arange(len(x)) % 2
    both = [energy(plain, codes, one) for one in (x, x @ torch.tensor(q))]
    assert both[0] == pytest.approx(both[1], abs=1e-9)


def energy(model, codes, x) -> float:
    """Of all atoms, each a neighbour of each other one within the cutoff."""
    target, source = torch.nonzero(~torch.eye(len(x), dtype=torch.bool)).T
    vectors = x[source] - x[target]
    near = vectors.norm(dim=1) < model.cutoff
    index = torch.stack([source, target])[:, near]
    counts = [len(x)] * (model.layers + 1), [int(near.sum())] * model.layers
    return float(model(codes, vectors[near], index, *counts).detach().sum())
