"""Metrics against formulas written out in numpy, whatever the cut into batches and ranks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.batches import Batch, Prediction, some_batch
from torchml.training.loop.metrics import make_metrics


def reference(batch: Batch, prediction: Prediction) -> dict[str, float]:
    """All metrics, one configuration at a time, in numpy."""
    assert prediction.forces is not None and prediction.stress is not None
    energy, per_atom, force, cosine, length, stress, ewt, efwt = [], [], [], [], [], [], [], []
    for k, atoms in enumerate(batch.atom_counts.tolist()):
        mine = (batch.configuration_of_atom == k).numpy()
        de = float(prediction.energy[k] - batch.energy[k])
        if not batch.real[k]:
            continue
        has_energy = np.isfinite(de) and batch.energy_weight[k] > 0
        if has_energy:
            energy.append(de)
            per_atom.append(de / atoms)
            ewt.append(abs(de) < 0.02)
        f, f0 = prediction.forces.numpy()[mine], batch.forces.numpy()[mine]
        keep = batch.free.numpy()[mine] & np.isfinite(f0).all(1) & bool(batch.forces_weight[k] > 0)
        f, f0 = f[keep], f0[keep]
        force.extend((f - f0).tolist())
        for a, b in zip(f, f0, strict=True):
            cosine.append(a @ b / np.sqrt((a @ a) * (b @ b)))
            length.append(abs(np.sqrt(a @ a) - np.sqrt(b @ b)))
        if has_energy and len(f):
            efwt.append(abs(de) < 0.02 and np.abs(f - f0).max() < 0.03)
        if batch.stress_weight[k] > 0 and torch.isfinite(batch.stress[k]).all():
            stress.append((prediction.stress[k] - batch.stress[k]).numpy())
    forces = np.array(force).reshape(-1, 3)
    return {
        "energy_mae": np.mean(np.abs(energy)),
        "energy_rmse": np.sqrt(np.mean(np.square(energy))),
        "energy_per_atom_mae": np.mean(np.abs(per_atom)),
        "energy_per_atom_rmse": np.sqrt(np.mean(np.square(per_atom))),
        "ewt": np.mean(ewt),
        "forces_mae": np.mean(np.abs(forces)),
        "forces_rmse": np.sqrt(np.mean(np.square(forces))),
        "forces_x_mae": np.mean(np.abs(forces[:, 0])),
        "forces_y_mae": np.mean(np.abs(forces[:, 1])),
        "forces_z_mae": np.mean(np.abs(forces[:, 2])),
        "forces_cosine": np.mean(cosine),
        "forces_magnitude": np.mean(length),
        "efwt": np.mean(efwt),
        "stress_mae": np.mean(np.abs(stress)),
        "stress_rmse": np.sqrt(np.mean(np.square(stress))),
    }


def evaluate(*batches: tuple[Batch, Prediction]) -> dict[str, float]:
    metrics = make_metrics(forces=True, stress=True)
    for batch, prediction in batches:
        metrics.update(batch, prediction)
    return {name: float(value) for name, value in metrics.compute().items()}


def incomplete(seed: int = 3) -> tuple[Batch, Prediction]:
    """Missing labels of every kind, fixed atoms, and a configuration that only pads."""
    batch, prediction = some_batch(seed, [3, 1, 4, 2, 5], error=0.015)
    batch.energy[0] = torch.nan
    batch.forces[4:8] = torch.nan  # all of configuration 2
    batch.stress[1] = torch.nan
    batch.free[0] = batch.free[9] = False
    batch.real[3] = False
    batch.energy_weight[1] = batch.forces_weight[0] = batch.stress_weight[4] = 0.0
    assert prediction.forces is not None
    prediction.energy[3] = 1e6  # nobody may look at these
    prediction.forces[8:10] = 1e6
    prediction.forces[0] = 1e6
    return batch, prediction


@pytest.mark.parametrize(
    "case", [some_batch(0, [1, 4, 2]), some_batch(1, [8] * 6, error=0.01), incomplete()]
)
def test_metrics_equal_their_formulas(case: tuple[Batch, Prediction]) -> None:
    assert evaluate(case) == pytest.approx(reference(*case), rel=1e-12)


def test_thresholds_are_met_by_some_and_missed_by_others() -> None:
    """Guards the two shares against tests in which they are trivially 0 or 1."""
    values = evaluate(some_batch(5, [1] * 200, error=0.015))
    assert 0.1 < values["efwt"] < values["ewt"] < 0.95


def test_a_prediction_that_is_not_a_number_is_never_right() -> None:
    batch, prediction = some_batch(0, [2, 2], error=0.0)
    assert prediction.forces is not None
    prediction.forces[0, 0] = torch.nan
    values = evaluate((batch, prediction))
    assert values["efwt"] == 0.5
    assert np.isnan(values["forces_mae"])


def test_the_cut_into_batches_does_not_matter() -> None:
    def part(
        whole: tuple[Batch, Prediction], some: slice, atoms: slice
    ) -> tuple[Batch, Prediction]:
        batch, prediction = whole
        assert prediction.forces is not None and prediction.stress is not None
        owner = batch.configuration_of_atom[atoms]
        return (
            Batch(
                energy=batch.energy[some],
                forces=batch.forces[atoms],
                stress=batch.stress[some],
                energy_weight=batch.energy_weight[some],
                forces_weight=batch.forces_weight[some],
                stress_weight=batch.stress_weight[some],
                free=batch.free[atoms],
                real=batch.real[some],
                atom_counts=batch.atom_counts[some],
                configuration_of_atom=owner - owner[0],
            ),
            Prediction(prediction.energy[some], prediction.forces[atoms], prediction.stress[some]),
        )

    whole = incomplete()
    pieces = [
        part(whole, slice(0, 1), slice(0, 3)),
        part(whole, slice(1, 4), slice(3, 10)),
        part(whole, slice(4, 5), slice(10, 15)),
    ]
    assert evaluate(*pieces) == pytest.approx(evaluate(whole), rel=1e-12)


def test_nothing_to_average_is_not_zero() -> None:
    batch, prediction = some_batch(0, [2, 3])
    batch = replace(batch, forces_weight=torch.zeros(2, dtype=torch.float64))
    values = evaluate((batch, prediction))
    assert np.isnan(values["forces_mae"]) and np.isnan(values["efwt"])
    assert np.isfinite(values["energy_mae"])


def test_metrics_that_agree_on_the_first_batch_stay_apart() -> None:
    """torchmetrics merges metrics whose states are equal, unless it is told not to."""
    values = evaluate(some_batch(0, [1, 1], error=0.0), some_batch(1, [1, 7]))
    assert values["energy_mae"] > 2 * values["energy_per_atom_mae"] * 0.6
    assert values["energy_mae"] != values["energy_per_atom_mae"]


def test_states_are_sums_alone() -> None:
    """Memory stays the same however many batches come, and ranks exchange two numbers."""
    for metric in make_metrics(stress=True).values():
        assert {name: state.ndim for name, state in metric.metric_state.items()} == {
            "total": 0,
            "count": 0,
        }


def test_names() -> None:
    energies = ["energy_mae", "energy_rmse", "energy_per_atom_mae", "energy_per_atom_rmse", "ewt"]
    named = [f"val/{name}" for name in energies]
    assert sorted(make_metrics("is2re", prefix="val/")) == sorted(named)
    assert set(make_metrics(forces=False)) == set(energies)
    batch, prediction = some_batch(0, [2])
    metrics = make_metrics(prefix="test/")
    metrics.update(batch, replace(prediction, stress=None))
    assert "test/forces_mae" in metrics.compute()
