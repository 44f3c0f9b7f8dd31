"""Tasks: they learn, they go on where they stopped, and two ranks learn as one does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from helpers.silicon import silicon
from helpers.silicon_training import data, task, weights
from torchml.data import Split, write_lmdb
from torchml.data.module import DataModule
from torchml.errors import TorchMLError
from torchml.models import BehlerParrinello, PaiNN, SchNet
from torchml.training.loop.energy_scaling import Normalization
from torchml.training.loop.heads import Target
from torchml.training.loop.task import IS2RE, S2EF

pytestmark = pytest.mark.filterwarnings("ignore")


def trainer(folder, epochs, **options):
    return L.Trainer(
        max_epochs=epochs,
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **({"enable_checkpointing": False} | options),
    )


@pytest.fixture(scope="module")
def configurations():
    return silicon(13)


def test_energies_forces_and_stress_are_learned(configurations, tmp_path):
    module = task(stress_coefficient=0.1)
    run = trainer(tmp_path, 40)
    some = data(configurations)
    run.fit(module, some)
    found = run.test(module, some, verbose=False)[0]
    spread = np.std([c.energy / len(c) for c in configurations])
    forces = np.concatenate([c.forces for c in configurations[11:]])
    stress = np.concatenate([c.stress for c in configurations[11:]])
    assert found["test/energy_per_atom_mae"] < 0.3 * spread
    assert found["test/forces_mae"] < 0.3 * np.abs(forces).mean()
    assert found["test/stress_mae"] < 0.5 * np.abs(stress).mean()


def test_the_validation_loss_is_the_mean_over_all_labels(configurations, tmp_path):
    module = task(energy_loss=torch.nn.MSELoss(), force_loss=torch.nn.L1Loss())
    run = trainer(tmp_path, 1)
    run.fit(module, data(configurations))
    found = {
        size: run.validate(module, data(configurations, batch_size=size), verbose=False)[0]
        for size in (1, 2)
    }
    for name, value in found[1].items():
        assert value == pytest.approx(found[2][name], rel=1e-5), name
    scale = float(module.model.scale)
    mse, mae = found[1]["val/energy_loss"], found[1]["val/forces_loss"]
    assert mae * scale == pytest.approx(found[1]["val/forces_mae"], rel=1e-5)
    per_atom = found[1]["val/energy_per_atom_rmse"]
    assert mse * scale**2 == pytest.approx(per_atom**2, rel=1e-5)
    assert found[1]["val/loss"] == pytest.approx(mse + mae, rel=1e-5)


def test_symmetry_functions_adapt_to_the_training_data(configurations, tmp_path):
    module = S2EF(BehlerParrinello(["Si"], cutoff=3.8, hidden=[4]))
    some = data(configurations)
    trainer(tmp_path, 1).fit(module, some)
    batch = some.dataset("train")[list(range(11))]
    features = module.model.node_features(
        batch.species, batch.edge_vectors, batch.edge_index, batch.node_counts, batch.edge_counts
    )
    varied = features.std(0, correction=0) > 0.5  # what hardly varies is left small
    assert varied.sum() > 5
    torch.testing.assert_close(features.mean(0), torch.zeros_like(features[0]))
    torch.testing.assert_close(
        features.std(0, correction=0)[varied], torch.ones(int(varied.sum()), dtype=features.dtype)
    )


def test_relaxed_energies_are_learned_without_forces(configurations, tmp_path):
    bare = [replace(c, forces=None, stress=None) for c in configurations]
    module = task(kind=IS2RE)
    run = trainer(tmp_path, 2)
    run.fit(module, data(bare))
    found = run.test(module, data(bare), verbose=False)[0]
    assert "test/energy_mae" in found and "test/forces_mae" not in found


KINDS = [
    ("charge", "node_scalar", (8,)),
    ("dipole", "graph_vector", (3,)),
    ("moment", "node_vector", (8, 3)),
    ("gap", "graph_scalar", (2,)),
    ("coupling", "edge_scalar", (8, 8)),
    ("bond", "edge_vector", (8, 8, 3)),
]


@pytest.mark.parametrize(("name", "kind", "shape"), KINDS)
@pytest.mark.parametrize("model", [PaiNN, SchNet])
def test_further_targets(name, kind, shape, model, configurations, tmp_path):
    generator = np.random.default_rng(0)
    some = [replace(c, targets={name: generator.normal(size=shape)}) for c in configurations]
    some[0].targets[name].flat[0] = np.nan
    width = shape[-1] if kind == "graph_scalar" else 1
    module = task(model, targets=[Target(name, kind, width)])
    run = trainer(tmp_path, 1)
    run.fit(module, data(some))
    assert torch.isfinite(run.callback_metrics["train/loss"])
    assert f"val/{name}_loss" in run.callback_metrics
    # A turned structure has turned vectors and the same scalars.
    batch = next(iter(run.datamodule.val_dataloader()))
    before = module.heads(module.model, batch)[name]
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turned = replace(batch, edge_vectors=batch.edge_vectors @ turn)
    after = module.heads(module.model, turned)[name]
    torch.testing.assert_close(after, before @ turn if kind.endswith("vector") else before)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pre_batch": "none"},
        {"pre_batch": "in_memory"},
        {"pre_batch": "on_disk"},
        {"num_workers": 2},
        {"graphs": "staged"},
        {"batch_size": 100, "batch_by": "edges"},
        {"batch_size": 16, "batch_by": "atoms"},
    ],
)
def test_ways_to_make_batches_learn_alike(options, configurations, tmp_path):
    module = task()
    run = trainer(tmp_path, 1)
    run.fit(module, data(configurations, **options))
    assert run.callback_metrics["val/forces_mae"] < 10
    if options.get("graphs") == "staged" or "num_workers" in options:
        other = task()
        trainer(tmp_path, 1).fit(other, data(configurations))
        torch.testing.assert_close(weights(module), weights(other), rtol=1e-9, atol=1e-12)
    assert not list(tmp_path.glob("pre_batched/*/*.pt")) or options.get("pre_batch") == "on_disk"


def test_a_run_goes_on_bit_for_bit_from_the_middle_of_an_epoch(configurations, tmp_path):
    def fit(checkpoint=None, **options):
        module = task(warmup_steps=3)
        run = trainer(tmp_path, 3, **options)
        run.fit(module, data(configurations), ckpt_path=checkpoint)
        return module

    every = ModelCheckpoint(
        tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1, save_last=False
    )
    whole = fit(callbacks=[every], enable_checkpointing=True)
    for step in (4, 6, 8, 17):
        resumed = fit(tmp_path / f"step={step}.ckpt")
        assert torch.equal(weights(resumed), weights(whole)), step


def test_the_rate_rises_and_falls_over_the_run(configurations, tmp_path):
    module = task(warmup_steps=6)
    rates = []
    module.on_train_batch_start = lambda batch, batch_idx: rates.append(
        module.optimizers().param_groups[0]["lr"]
    )
    trainer(tmp_path, 5).fit(module, data(configurations))
    assert len(rates) == 30 and rates.index(max(rates)) == 6
    assert rates[0] < 0.2 * max(rates) and rates[-1] < 0.02 * max(rates)
    assert rates[6:] == sorted(rates[6:], reverse=True)


def test_plateaus_and_other_schedulers_of_torch(configurations, tmp_path):
    module = task(scheduler=lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0))
    trainer(tmp_path, 2).fit(module, data(configurations))
    module = task(scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.1))
    run = trainer(tmp_path, 2)
    run.fit(module, data(configurations))
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(5e-5)


def test_energies_stay_exact_although_the_network_is_single_precision(configurations, tmp_path):
    module = task()
    single = S2EF(PaiNN(["Si"], cutoff=3.8, layers=1, features=4, dtype="float32"))
    moved = [replace(c, energy=c.energy - 1e6 * len(c)) for c in configurations]
    trainer(tmp_path, 1).fit(single, data(moved))
    batch = next(iter(data_of(single, moved).train_dataloader()))
    found = single(batch).energy
    assert found.dtype == torch.float64
    assert (found - batch.energy).abs().max() < 10  # eV of -8e6
    assert module.model.scale == 1  # nothing is set before data are seen


def data_of(module, configurations):
    some = data(configurations)
    some.prepare(module.graph_builder("minimum_image"), ["train"], module.labels)
    return some


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"forces": None}, "silicon, configuration 1 has no forces"),
        ({"energy": None}, "silicon, configuration 1 has no energy"),
        ({"numbers": np.full(8, 32)}, "silicon, configuration 1: .*knows only Si"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said_once(
    changes, sentence, configurations, tmp_path
):
    some = list(configurations)
    some[1] = replace(some[1], **changes)
    with pytest.raises(TorchMLError, match=sentence):
        trainer(tmp_path, 1).fit(task(), data(some))


def test_duplicates_between_parts_are_refused_unless_allowed(configurations, tmp_path):
    some = [*configurations[:12], configurations[0]]
    with pytest.raises(TorchMLError, match="configuration 0 is a duplicate of silicon, conf"):
        trainer(tmp_path, 1).fit(task(), data(some))
    trainer(tmp_path, 1).fit(task(), data(some, duplicates="allow"))


def test_missing_labels_may_be_masked(configurations, tmp_path):
    some = [replace(c, forces=None) if k % 2 else c for k, c in enumerate(configurations)]
    some[2] = replace(some[2], energy=None)
    module = task(missing="mask")
    run = trainer(tmp_path, 1)
    run.fit(module, data(some))
    assert torch.isfinite(weights(module)).all()


def test_reference_energies_may_be_given(configurations, tmp_path):
    rule = Normalization(references={"Si": -4.0}, scale=2.0)
    module = task(normalization=rule)
    trainer(tmp_path, 1).fit(module, data(configurations))
    assert module.model.references.tolist() == [-4.0] and module.model.scale == 2.0
    with pytest.raises(TorchMLError, match="references lacks Si"):
        trainer(tmp_path, 1).fit(
            task(normalization=Normalization(references={"Ge": 1.0})), data(configurations)
        )


RANKS = """
import sys, warnings
warnings.filterwarnings("ignore")
import lightning.pytorch as L, torch
sys.path.insert(0, {here!r})
from helpers.silicon import silicon
from helpers.silicon_training import data, task, weights
torch.set_num_threads(1)
ranks = int(sys.argv[1])
module = task(warmup_steps=2)
run = L.Trainer(max_epochs=2, accelerator="cpu", devices=ranks, logger=False,
    strategy="ddp" if ranks > 1 else "auto", enable_checkpointing=False, enable_model_summary=False,
    enable_progress_bar=False, default_root_dir=sys.argv[2])
configurations = silicon(12) + silicon(1, repeat=2, seed=1)
run.fit(module, data(configurations, batch_size=4 // ranks, duplicates="allow"))
if run.is_global_zero:
    torch.save({{"weights": weights(module), "metrics": dict(run.callback_metrics)}}, sys.argv[3])
"""


def test_two_ranks_learn_what_one_rank_learns(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS.format(here=str(Path(__file__).parents[2])))
    found = []
    for ranks in (1, 2):
        result = tmp_path / f"{ranks}.pt"
        subprocess.run(
            [sys.executable, script, str(ranks), str(tmp_path), str(result)],
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            timeout=300,
        )
        found.append(torch.load(result, weights_only=True))
    one, two = found
    torch.testing.assert_close(one["weights"], two["weights"], rtol=1e-6, atol=1e-9)
    for name, value in one["metrics"].items():
        torch.testing.assert_close(value, two["metrics"][name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "options", [{}, {"num_workers": 2}, {"batch_size": 60, "batch_by": "edges"}]
)
def test_data_that_are_read_when_asked_for(options, configurations, tmp_path):
    """An LMDB gives the model that a list gives, and what is wrong in it is said as well."""
    write_lmdb(configurations, tmp_path / "data.lmdb")
    split = Split(train=11, val=2)
    lazy = DataModule(str(tmp_path / "data.lmdb"), split=split, **({"batch_size": 2} | options))
    eager = DataModule.from_configurations(
        configurations, split=split, **({"batch_size": 2} | options)
    )
    found = []
    for one in (lazy, eager):
        module = task()
        trainer(tmp_path, 1).fit(module, one)
        found.append(weights(module))
    torch.testing.assert_close(*found)
    assert not isinstance(lazy.configurations("train"), list)

    write_lmdb([replace(c, forces=None) for c in configurations], tmp_path / "bare.lmdb")
    bare = DataModule(str(tmp_path / "bare.lmdb"), batch_size=2)
    with pytest.raises(TorchMLError, match=r"bare.lmdb, configuration \d+ has no forces"):
        trainer(tmp_path, 1).fit(task(), bare)


def test_molecules_among_crystals_leave_stress_out(configurations, tmp_path):
    """Without a cell there is no stress: neither NaN in the weights, nor a label that counts."""
    cells = [*configurations]
    cells[2] = replace(cells[2], pbc=np.zeros(3, dtype=bool), cell=np.zeros((3, 3)))
    with pytest.raises(TorchMLError, match="configuration 2 has a stress although"):
        trainer(tmp_path, 1).fit(task(stress_coefficient=0.1), data(cells))
    module = task(stress_coefficient=0.1, missing="mask")
    trainer(tmp_path, 2).fit(module, data(cells))
    assert torch.isfinite(weights(module)).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_learns_what_the_cpu_learns(configurations, tmp_path):
    found = []
    for accelerator in ("cpu", "gpu"):
        module = task()
        run = L.Trainer(
            max_epochs=2,
            accelerator=accelerator,
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        run.fit(module, data(configurations))
        found.append(weights(module).cpu())
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-8)
