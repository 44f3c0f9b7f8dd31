"""Schedulers, early stopping and checkpoints look at values that are new, and that exist."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from torchml.errors import TorchMLError
from torchml.training import api

PLATEAU = {
    "class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau",
    "init_args": {"patience": 0, "factor": 0.5, "threshold": 0.99},
}
STILL = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.0}}
LOG = Path("run/logs/csv/version_0/metrics.csv")


def logged(name: str) -> list[float]:
    """All values of a metric, in their order."""
    with LOG.open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


@pytest.mark.parametrize(
    ("trainer", "monitor", "curve"),
    [
        ({"check_val_every_n_epoch": 3}, "val/loss", "val/loss"),
        ({"check_val_every_n_epoch": 2}, "val/forces_mae", "val/forces_mae"),
        ({"val_check_interval": 0.5}, "val/loss", "val/loss"),
        ({"check_val_every_n_epoch": 3}, "train/loss", "train/loss"),
        ({"limit_val_batches": 0}, "val/loss", "train/loss"),
        ({"check_val_every_n_epoch": 9}, "val/loss", "train/loss"),
    ],
)
def test_plateaus_see_each_value_once(
    config: Path,
    trainer: dict[str, Any],
    monitor: str,
    curve: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[float] = []
    step = ReduceLROnPlateau.step

    def record(self: ReduceLROnPlateau, metrics: float, *words: Any) -> None:
        seen.append(metrics)
        step(self, metrics, *words)

    monkeypatch.setattr(ReduceLROnPlateau, "step", record)
    run = api.fit(
        config,
        trainer=trainer | {"max_epochs": 6},
        model__init_args={"scheduler": PLATEAU, "monitor": monitor},
    )
    values = logged(curve)
    assert seen == pytest.approx(values, rel=1e-5)
    rate = run.trainer.optimizers[0].param_groups[0]["lr"]
    assert rate == pytest.approx(1e-3 * 0.5 ** (len(values) - 1))


@pytest.mark.parametrize("every", [1, 2, 3])
def test_patience_counts_validations(config: Path, every: int) -> None:
    run = api.fit(
        config,
        trainer={"max_epochs": 30, "check_val_every_n_epoch": every},
        model__init_args={"optimizer": STILL, "schedule": "constant"},
        early_stopping={"patience": 2},
    )
    assert run.trainer.current_epoch == 3 * every


@pytest.mark.parametrize(
    ("trainer", "monitor"),
    [
        ({"check_val_every_n_epoch": 2}, "val/loss"),
        ({"check_val_every_n_epoch": 3}, "train/loss"),
        ({"val_check_interval": 0.5}, "val/forces_mae"),
        ({"check_val_every_n_epoch": 9}, "val/loss"),
    ],
)
def test_the_best_checkpoint_has_the_best_value(
    config: Path, trainer: dict[str, Any], monitor: str
) -> None:
    run = api.fit(config, trainer=trainer | {"max_epochs": 6}, checkpoint={"monitor": monitor})
    name = monitor if trainer.get("check_val_every_n_epoch") != 9 else "train/loss"
    callbacks = torch.load(run.best, weights_only=True)["callbacks"]
    scores = [
        state["best_model_score"]
        for state in callbacks.values()
        if isinstance(state, dict) and state.get("monitor") == name
    ]
    assert [float(score) for score in scores] == pytest.approx([min(logged(name))], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"early_stopping": {"monitor": "val/lose"}}, "early_stopping.monitor is 'val/lose'"),
        ({"checkpoint": {"monitor": "forces_mae"}}, "checkpoint.monitor is 'forces_mae'"),
        ({"checkpoint": {"monitor": "val/stress_mae"}}, "checkpoint.monitor is 'val/stress_mae'"),
        (
            {"model__init_args": {"scheduler": PLATEAU, "monitor": "val/nonsense"}},
            "model.monitor is 'val/nonsense'",
        ),
    ],
)
def test_a_metric_that_does_not_exist_is_an_error_at_the_start(
    config: Path, options: dict[str, Any], key: str
) -> None:
    with pytest.raises(TorchMLError) as error:
        api.fit(config, **options)
    assert f"{key}, expected one of train/loss, " in str(error.value)
    assert "val/forces_mae" in str(error.value)
    assert not Path("run").exists()


def test_arguments_of_a_scheduler_are_checked_at_the_start(config: Path) -> None:
    wrong = {**PLATEAU, "init_args": {"factor": 2.0}}
    with pytest.raises(TorchMLError, match=r"model\.scheduler: Factor should be < 1\.0"):
        api.fit(config, model__init_args={"scheduler": wrong})
    assert not Path("run").exists()
