"""Arguments of the trainer that choose batches and float types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Union

import lightning.pytorch as L
import pytest
import torch

from torchml.errors import TorchMLError
from torchml.training import api
from torchml.training.settings import from_words


@pytest.mark.parametrize("part", ["train", "val", "test", "predict"])
def test_one_is_a_number_of_batches(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where typing's cache gave Lightning's annotations another order, by earlier imports."""
    name = f"limit_{part}_batches"
    float_first = Union[float, int, None]  # noqa: UP007
    monkeypatch.setitem(L.Trainer.__init__.__annotations__, name, float_first)
    settings = from_words(["fit", f"--trainer.{name}", "1"])
    limit = settings.options.trainer[name]
    assert limit == 1 and isinstance(limit, int)


@pytest.mark.parametrize(
    ("trainer", "steps"),
    [
        ({"overfit_batches": 1}, 2),
        ({"overfit_batches": 3}, 6),
        ({"overfit_batches": 0.5}, 4),
        ({"limit_train_batches": 2}, 4),
        ({"limit_train_batches": 0.75}, 6),
        ({"limit_val_batches": 0}, 8),
        ({"limit_val_batches": 1}, 8),
        ({"accumulate_grad_batches": 3}, 4),
        ({"val_check_interval": 0.5}, 8),
        ({"val_check_interval": 3, "check_val_every_n_epoch": None}, 8),
        ({"fast_dev_run": 2}, 2),
    ],
)
def test_limits_of_batches(config: Path, trainer: dict[str, Any], steps: int) -> None:
    run = api.fit(config, trainer=trainer)
    assert run.trainer.global_step == steps
    assert run.best.exists() != ("fast_dev_run" in trainer)


@pytest.mark.parametrize("options", [{}, {"pre_batch": "in_memory"}, {"batch_by": "atoms"}])
def test_overfitting_repeats_the_same_batches(config: Path, options: dict[str, Any]) -> None:
    run = api.fit(config, trainer={"overfit_batches": 2, "max_epochs": 60}, data=options)
    sampler: Any = run.data.train_dataloader().sampler
    assert sampler.epoch_batches(0) == sampler.epoch_batches(5)
    early = api.fit(
        config,
        trainer={"overfit_batches": 2, "max_epochs": 1},
        data=options,
        overwrite=True,
    )
    assert run.metrics["train/loss"] < 0.7 * early.metrics["train/loss"]


@pytest.mark.parametrize(
    ("trainer", "sentence"),
    [
        (
            {"limit_train_batches": 0},
            "trainer.limit_train_batches is 0, which is no batch of",
        ),
        ({"limit_train_batches": 0.01}, "trainer.limit_train_batches is 0.01, which is no batch"),
        (
            {"limit_val_batches": 0.1},
            "trainer.limit_val_batches is 0.1, which is no batch of",
        ),
        ({"overfit_batches": 0.1}, "trainer.overfit_batches is 0.1, which is no batch of the 4"),
        ({"val_check_interval": 9}, "trainer.val_check_interval is 9, but an epoch has 4 batches"),
        ({"accumulate_grad_batches": 0}, "trainer.accumulate_grad_batches is 0, expected at least"),
        (
            {"precision": "64-true"},
            "trainer.precision is 64-true, but the network has dtype float",
        ),
        ({"precision": "bf16-mixed"}, "trainer.precision is bf16-mixed, expected 32-true or"),
        ({"precision": "16-mixed"}, "trainer.precision is 16-mixed, expected 32-true or"),
        ({"precision": "16-true"}, "trainer.precision is 16-true, expected 32-true or"),
        ({"precision": "bf16-true"}, "trainer.precision is bf16-true, expected 32-true or"),
        ({"precision": 16}, "trainer.precision is 16, expected 32-true or"),
    ],
)
def test_what_takes_no_step_is_one_sentence(
    config: Path, trainer: dict[str, Any], sentence: str
) -> None:
    dtype = {"model__init_args__model__init_args__dtype": "float32"}
    with pytest.raises(TorchMLError) as error:
        api.fit(config, trainer=trainer, **dtype)
    assert sentence in str(error.value)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("64-true", "float64"), (64, "float64"), ("32-true", "float32"), (None, "float32")],
)
def test_precisions_that_train(config: Path, precision: Any, dtype: str) -> None:
    run = api.fit(
        config,
        trainer={"precision": precision},
        model__init_args__model__init_args__dtype=dtype,
    )
    weights = torch.load(run.best, weights_only=True)["state_dict"]
    assert weights["model.network.embedding.weight"].dtype == getattr(torch, dtype)
    again = api.validate("run/config.yaml", ckpt_path=str(run.last))
    assert again.metrics["val/loss"] == pytest.approx(run.metrics["val/loss"], rel=1e-6)


@pytest.mark.parametrize("part", ["test", "val", "predict"])
def test_limits_of_evaluations(config: Path, part: str) -> None:
    api.fit(config, trainer__max_epochs=1)
    command: Any = {"test": api.test, "val": api.validate, "predict": api.predict}[part]
    limit = f"limit_{part}_batches"
    command("run/config.yaml", trainer={limit: 1})
    with pytest.raises(TorchMLError, match=f"trainer.{limit} is 0, which is no batch"):
        command("run/config.yaml", trainer={limit: 0})


@pytest.mark.parametrize(
    "words",
    [
        [],
        [
            *("--model.scheduler", "StepLR", "--model.scheduler.step_size", "1", "--ema", "null"),
            *("--trainer.overfit_batches", "1", "--data.num_workers", "1"),
        ],
    ],
    ids=["defaults", "scheduler, overfit_batches and a worker"],
)
def test_warnings_may_be_errors(config: Path, words: list[str]) -> None:
    """No warning of torch or Lightning reaches the terminal; `-W error` would end the run."""

    def run(*arguments: Any) -> None:
        command = [sys.executable, "-W", "error", "-m", "torchml", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert not done.stderr and "arning" not in done.stdout

    run("fit", "--config", config, *words)
    run("fit", "--config", config, *words, "--ckpt_path", "last", "--trainer.max_epochs", 3)
    run("test", "--config", "run/config.yaml", "--plots", "true")
