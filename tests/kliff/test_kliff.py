"""Models that KLIFF trains and saves run unchanged and give KLIFF's own energies and forces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.kim import KIM
from ase.io import write
from kliff.dataset import Configuration
from kliff.trainer.lightning_trainer import GNNLightningTrainer
from kliff.transforms.configuration_transforms.graphs import RadialGraph

from helpers.kliff_model import KliffNetwork
from torchml import Calculator, kim

NATIVE = "SW_StillingerWeber_1985_Si__MO_405512056662_005"
CUTOFF = 3.9


def rattled(size: int, seed: int, amplitude: float = 0.15) -> Atoms:
    atoms = bulk("Si", "diamond", a=5.43, cubic=True) * (size, 1, 1)
    atoms.rattle(amplitude, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """KLIFF trains for two epochs on Stillinger-Weber data and saves a KIM model."""
    folder = tmp_path_factory.mktemp("kliff")
    data = folder / "data"
    data.mkdir()
    for seed in range(4):
        atoms = rattled(1, seed)
        atoms.calc = KIM(NATIVE)
        labelled = atoms.copy()
        labelled.info["Energy"] = atoms.get_potential_energy()
        labelled.arrays["forces"] = atoms.get_forces()
        write(data / f"{seed}.xyz", labelled, format="extxyz")
    manifest = {
        "workspace": {"name": str(folder / "run"), "seed": 1},
        "dataset": {
            "type": "ase",
            "path": str(data),
            "keys": {"energy": "Energy", "forces": "forces"},
        },
        "model": {
            "name": "network",
            "input_args": ["z", "coords", "edge_index0", "edge_index1", "contributions"],
        },
        "transforms": {
            "configuration": {
                "name": "RadialGraph",
                "kwargs": {"cutoff": CUTOFF, "species": ["Si"], "n_layers": 2},
            }
        },
        "training": {
            "loss": {"function": "MSE", "weights": {"energy": 1.0, "forces": 1.0}},
            "optimizer": {"name": "Adam", "learning_rate": 1e-3},
            "training_dataset": {"train_size": 3},
            "validation_dataset": {"val_size": 1},
            "batch_size": 1,
            "epochs": 2,
            "strategy": "auto",
            "accelerator": "cpu",
            "num_workers": 0,
        },
        "export": {
            "model_name": "KliffNetwork__MO_000000000000_000",
            "model_path": str(folder / "saved"),
        },
    }
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(1)
        trainer = GNNLightningTrainer(manifest, model=KliffNetwork(CUTOFF))
        trainer.train()
        trainer.save_kim_model()
    finally:
        torch.set_default_dtype(before)
    saved = folder / "saved" / "KliffNetwork__MO_000000000000_000"
    return saved, torch.jit.load(str(saved / "model.pt"))


def kliffs_own(model: torch.nn.Module, atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy and forces as KLIFF computes them in training."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        configuration = Configuration(
            cell=np.asarray(atoms.cell),
            species=atoms.get_chemical_symbols(),
            coords=atoms.positions,
            PBC=np.asarray(atoms.pbc, dtype=int),
            energy=0.0,
            forces=np.zeros((len(atoms), 3)),
        )
        graph = RadialGraph(species=["Si"], cutoff=CUTOFF, n_layers=2)(configuration)
        coords = graph.coords.requires_grad_(True)
        energy = model(graph.z, coords, graph.edge_index0, graph.edge_index1, graph.contributions)
        (gradient,) = torch.autograd.grad(energy.sum(), coords)
        forces = torch.zeros(len(atoms), 3).index_add(0, graph.images, -gradient)
        return energy.sum().item(), forces.numpy()
    finally:
        torch.set_default_dtype(before)


def test_a_saved_model_gives_kliffs_energies_and_forces(trained, collection, monkeypatch):
    monkeypatch.delenv("KIM_MODEL_ELEMENTS_MAP", raising=False)
    saved, model = trained
    kim.install(saved, "environment")
    for atoms in (rattled(1, 11), rattled(2, 12), rattled(1, 13, amplitude=0.4)):
        energy, forces = kliffs_own(model, atoms)
        assert np.abs(forces).max() > 1e-4
        for calculator in (KIM(saved.name), Calculator(saved)):
            mine = atoms.copy()
            mine.calc = calculator
            assert mine.get_potential_energy() == pytest.approx(energy, rel=1e-10)
            np.testing.assert_allclose(
                mine.get_forces(), forces, rtol=0, atol=1e-10 * np.abs(forces).max()
            )


def test_a_lonely_atom_of_a_saved_model(trained, collection):
    saved, model = trained
    atoms = Atoms("Si", positions=[[5.0, 5.0, 5.0]], cell=[30.0] * 3)
    calculator = Calculator(saved)
    atoms.calc = calculator
    z = torch.tensor([14, 14])
    none = torch.zeros(2, 0, dtype=torch.int64)
    apart = torch.tensor([[0.0, 0, 0], [50, 0, 0]], dtype=torch.float64)
    expected = model(z, apart, none, none, torch.tensor([0, 1]))
    assert atoms.get_potential_energy() == pytest.approx(expected.item(), rel=1e-12)
