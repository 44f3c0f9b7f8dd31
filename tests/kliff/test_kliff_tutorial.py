"""KLIFF's tutorial of graph networks with the GNNLightningTrainer of this package."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.calculators.kim import KIM
from kliff.dataset import Dataset
from kliff.trainer.lightning_trainer import LightningTrainer
from kliff.transforms.configuration_transforms.graphs import RadialGraph
from torch_geometric.loader import DataLoader

from helpers import portable
from helpers.kliff_model import KliffNetwork
from torchml import Calculator, kim
from torchml.compat.kliff import GNNLightningTrainer
from torchml.data import read
from torchml.data.module import DataModule
from torchml.models import SchNet
from torchml.models.staged import StagedModel
from torchml.training.loop.task import S2EF
from torchml.validation.lammps import evaluate_with_lammps

CUTOFF = 3.9
WEIGHTS = {"config": 1.0, "energy": 1.0, "forces": 10.0}
INPUTS = ["z", "coords", "edge_index0", "edge_index1", "contributions"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files in KLIFF's own flavour of extxyz."""
    folder = tmp_path_factory.mktemp("data")
    for seed in range(4):
        atoms = portable.silicon(amplitude=0.15, seed=seed)
        atoms.calc = KIM(portable.openkim_sw())
        cell = " ".join(map(repr, atoms.cell.array.ravel().tolist()))
        rows = [
            " ".join(["Si", *map(repr, [*place, *force])])
            for place, force in zip(
                atoms.positions.tolist(), atoms.get_forces().tolist(), strict=True
            )
        ]
        header = (
            f'Lattice="{cell}" PBC="1 1 1" Energy="{float(atoms.get_potential_energy())!r}" '
            "Properties=species:S:1:pos:R:3:for:R:3"
        )
        (folder / f"Si_{seed}.xyz").write_text("\n".join([str(len(atoms)), header, *rows, ""]))
    return folder


def manifest(data: Path, epochs: int = 2) -> dict[str, Any]:
    """As the tutorial writes it, its keys without effect included."""
    return {
        "workspace": {"name": "GNN_train_example", "random_seed": 12345},
        "dataset": {"type": "path", "path": str(data), "shuffle": True},
        "model": {"name": "Network", "input_args": INPUTS},
        "transforms": {
            "configuration": {
                "name": "RadialGraph",
                "kwargs": {"cutoff": CUTOFF, "species": ["Si"], "n_layers": 2},
            }
        },
        "training": {
            "loss": {"function": "MSE", "weights": WEIGHTS},
            "optimizer": {"name": "Adam", "learning_rate": 1e-3},
            "training_dataset": {"train_size": 3},
            "validation_dataset": {"val_size": 1},
            "batch_size": 1,
            "epochs": epochs,
            "strategy": "ddp_notebook",
            "accelerator": "cpu",
        },
        "export": {"model_path": "./", "model_name": "TutorialNetwork__MO_111111111111_000"},
    }


def network() -> KliffNetwork:
    torch.manual_seed(1)
    return KliffNetwork(CUTOFF).double()


def test_the_tutorial_ends_in_a_model_that_lammps_runs(data: Path, collection: Path) -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    trainer = GNNLightningTrainer(manifest(data), model=model)
    trainer.train()
    assert any(not torch.equal(before[name], now) for name, now in model.state_dict().items())
    folder = trainer.save_kim_model()
    assert folder.name == "TutorialNetwork__MO_111111111111_000"
    kim.install(folder, "environment")

    structure = portable.silicon(seed=7)
    structure.calc = Calculator(folder)
    energy, forces = structure.get_potential_energy(), structure.get_forces()
    assert np.abs(forces).max() > 1e-4
    for ranks in (1, 2):
        (found,) = evaluate_with_lammps(folder.name, [structure], ["Si"], ranks=ranks)
        assert found.energy == pytest.approx(energy, rel=1e-9)
        np.testing.assert_allclose(found.forces, forces, rtol=0, atol=1e-9 * np.abs(forces).max())

    run = trainer.run_folder
    assert run.parent.name == "GNN_train_example" and run.name.startswith("Network_")
    parts = [set((run / f"{part}_indices.txt").read_text().split()) for part in ("train", "val")]
    assert [len(part) for part in parts] == [3, 1] and not parts[0] & parts[1]
    assert (run / ".finished").exists() and (run / "checkpoints" / "last.ckpt").exists()


def test_a_finished_run_is_not_trained_again_and_an_interrupted_one_goes_on(data: Path) -> None:
    first = GNNLightningTrainer(manifest(data, epochs=1), network())
    first.train()
    resumed = manifest(data, epochs=3)
    resumed["workspace"]["resume"] = True
    again = GNNLightningTrainer(resumed, network())
    again.train()
    assert again.run is None and again.run_folder == first.run_folder

    (first.run_folder / ".finished").unlink()
    interrupted = GNNLightningTrainer(resumed, network())
    interrupted.train()
    assert interrupted.run_folder == first.run_folder
    assert interrupted.run is not None and interrupted.run.trainer.current_epoch == 3
    # Two of three epochs: steps are counted from the beginning.
    assert interrupted.run.trainer.global_step == 9


def test_a_model_of_the_package_takes_the_same_manifest(data: Path, collection: Path) -> None:
    content = manifest(data)
    content["export"] = {"model_path": "out", "generate_tarball": True}
    model = SchNet(["Si"], cutoff=CUTOFF, layers=2, features=8, gaussians=8)
    trainer = GNNLightningTrainer(content, model=model)
    trainer.train()
    folder = trainer.save_kim_model()
    assert folder.parent.name == "out" and folder.with_name(f"{folder.name}.tar.gz").exists()
    atoms = portable.silicon(seed=9)
    atoms.calc = Calculator(folder)
    assert np.isfinite(atoms.get_forces()).all()


def test_the_loss_of_a_batch_is_kliffs(data: Path) -> None:
    """Same network, same batch: KLIFF's training step and ours give the same loss."""
    configurations = read(str(data))
    model = network()
    task = S2EF(
        StagedModel(model, ["Si"], CUTOFF, 2),
        **losses_of(GNNLightningTrainer(manifest(data), network()).configuration),
    )
    module = DataModule.from_configurations(configurations, val=configurations[:1])
    module.duplicates = "allow"
    module.prepare(task.graph_builder("staged"), ["train"])
    parts, _ = task._parts(module.dataset("train")[list(range(4))], create_graph=True)
    ours = sum(task.terms[name].coefficient * part.mean() for name, part in parts.items())

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        transform = RadialGraph(species=["Si"], cutoff=CUTOFF, n_layers=2)
        graphs = [transform(one) for one in Dataset.from_path(data)]
        step = LightningTrainer(model, INPUTS, ema=False, energy_weight=1.0, forces_weight=10.0)
        step.log = lambda *arguments, **options: None
        batch = next(iter(DataLoader(graphs, batch_size=4)))
        theirs = step.training_step(batch, 0)["loss"]
    finally:
        torch.set_default_dtype(before)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-10)


def losses_of(configuration: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the task that make the loss."""
    arguments = configuration["model"]["init_args"]
    names = ("energy_coefficient", "force_coefficient", "energy_per_atom")
    return {name: arguments[name] for name in names} | {
        name: torch.nn.MSELoss()
        for name in ("energy_loss", "force_loss")
        if arguments[name]["class_path"] == "torch.nn.MSELoss"
    }
