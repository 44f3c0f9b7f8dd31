"""Stress of slabs and wires: by the given cell's volume, else an error, per area, or left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, fcc111
from ase.io import write

from helpers.labelled import labelled
from torchml import TorchMLError
from torchml.data import Configuration, DataModule, GraphBuilder, Keys, read
from torchml.data.batch import collate, make_sample
from torchml.models import SchNet
from torchml.training import S2EF
from torchml.training.loop.prediction import predict

STRESS = np.array([0.01, 0.02, 0.003, 0.001, 0.002, 0.004])


def slab(pbc=(True, True, False), vectors=2, seed=0) -> Configuration:
    """Copper: a slab (two cell vectors) or a wire (one), with a stress."""
    atoms = fcc111("Cu", (2, 2, 2), a=3.6, vacuum=6)
    atoms.rattle(0.1, seed=seed)
    atoms.pbc = False
    atoms = labelled(atoms)
    cell = atoms.cell.array.copy()
    cell[vectors:] = 0
    return replace(Configuration.from_atoms(atoms), cell=cell, pbc=pbc, stress=STRESS, index=seed)


CASES = {
    "slab": (slab(), "per area", np.linalg.norm(np.cross(*slab().cell[:2]))),
    "wire": (slab((True, False, False), 1), "per length", np.linalg.norm(slab().cell[0])),
    "wire in a slab's cell": (
        slab((True, False, False), 2),
        "per length",
        np.linalg.norm(slab().cell[0]),
    ),
    "slab in a cell": (slab(vectors=3), "", abs(np.linalg.det(slab(vectors=3).cell))),
}


def model() -> SchNet:
    return SchNet(species=["Cu"], cutoff=4.0, layers=1, features=8, dtype="float64")


def sample(c: Configuration, rule: str):
    network = model()
    builder = GraphBuilder(network.species, network.cutoff, network.layers)
    return make_sample(c, builder(c), 0, (), rule)


@pytest.mark.parametrize("case", CASES)
def test_the_three_rules(case):
    c, words, extent = CASES[case]
    assert c.extent == pytest.approx(extent)
    assert sample(c, "per_area").labels["volumes"].item() == pytest.approx(extent)
    assert sample(c, "per_area").labels["stress"][0].tolist() == STRESS.tolist()
    if not words:
        for rule in ("error", "ignore"):
            assert sample(c, rule).labels["stress"][0].tolist() == STRESS.tolist()
        return
    with pytest.raises(TorchMLError, match=rf"memory, configuration 0 has a stress.*{words}"):
        sample(c, "error")
    assert sample(c, "ignore").labels["stress"].isnan().all()
    assert sample(c, "ignore").labels["volumes"].isnan().all()
    sample(replace(c, stress=None), "error")


@pytest.mark.parametrize("case", CASES)
def test_predicted_stress_is_the_derivative_by_the_strain(case):
    c, _, extent = CASES[case]
    network = model()
    builder = GraphBuilder(network.species, network.cutoff, network.layers)

    def energy(strain: np.ndarray) -> float:
        shape = np.eye(3) + strain
        strained = replace(c, positions=c.positions @ shape, cell=c.cell @ shape)
        return predict(
            network, collate([make_sample(strained, builder(strained), 0)])
        ).energy.item()

    batch = collate([make_sample(c, builder(c), 0, (), "per_area")])
    stress = predict(network, batch, stress=True).stress[0].tolist()
    for k, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strain = np.zeros((3, 3))
        strain[i, j] += 0.5e-4
        strain[j, i] += 0.5e-4
        slope = (energy(strain) - energy(-strain)) / 2e-4
        assert stress[k] * extent == pytest.approx(slope, abs=1e-7)


def data(c: Configuration, **options) -> DataModule:
    return DataModule.from_configurations(
        [replace(c, positions=c.positions + 0.01 * k, index=k) for k in range(4)], **options
    )


@pytest.mark.parametrize("missing", ["error", "mask"])
def test_tasks_that_learn_stress_refuse_what_they_would_drop(missing):
    c = CASES["slab"][0]
    with pytest.raises(TorchMLError, match=r"data\.stress_of_slabs: per_area"):
        data(c).prepare_for(S2EF(model(), stress_coefficient=1.0, missing=missing), "fit")
    for rule, is_there in (("per_area", True), ("ignore", False)):
        module = data(c, stress_of_slabs=rule)
        module.prepare_for(S2EF(model(), stress_coefficient=1.0, missing=missing), "fit")
        assert module.dataset("train")[[0]].stress.isfinite().all() == is_there
    data(c).prepare_for(S2EF(model()), "fit")  # stress is not learned
    module = data(c)
    module.sources["predict"] = module.sources["train"]
    module.prepare_for(S2EF(model(), stress_coefficient=1.0), "predict")


@pytest.mark.parametrize("pbc", ["T T F", "T F F"])
def test_virials_of_files_are_divided_by_area_or_length(pbc):
    vectors = "4 0 0 0 5 0 0 0 0" if pbc == "T T F" else "4 0 0 0 0 0 0 0 0"
    Path("a.xyz").write_text(
        f'1\nLattice="{vectors}" pbc="{pbc}" virial="-2 0 0 0 -4 0 0 0 0" '
        "Properties=species:S:1:pos:R:3\nCu 0 0 0\n"
    )
    (c,) = read("a.xyz")
    extent = 20.0 if pbc == "T T F" else 4.0
    np.testing.assert_allclose(c.stress, np.array([2, 4, 0, 0, 0, 0]) / extent)
    assert read("a.xyz", Keys(stress=None))[0].stress is None
    Path("b.xyz").write_text("1\nvirial={1 0 0 0 1 0 0 0 1}\nCu 0 0 0\n")
    with pytest.raises(TorchMLError, match=r"virial cannot be turned.*keys\.stress: null"):
        read("b.xyz")


def test_slabs_of_trajectories():
    crystal = labelled(bulk("Cu", cubic=True))
    atoms = CASES["slab"][0].to_atoms()
    write("a.traj", [crystal, atoms])
    found = read("a.traj")
    assert found[0].has_volume and not found[1].has_volume
    assert found[1].stress.tolist() == STRESS.tolist()
