"""Resumed trainings: changed settings take effect and are printed, or are one sentence."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from ase.io import read, write

from torchml.errors import TorchMLError
from torchml.training import api

LAST = Path("run/checkpoints/last.ckpt")
SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}}


def task(**arguments: Any) -> dict[str, Any]:
    return {"model": {"init_args": arguments}}


def scheduler(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"torch.optim.lr_scheduler.{name}", "init_args": arguments}


def rates(folder: str = "run") -> dict[int, float]:
    """The learning rate of each step, of the last start that took it."""
    found = {}
    paths = sorted(Path(folder, "logs/csv").glob("version_*/metrics.csv"))
    for path in paths:
        with path.open() as file:
            for row in csv.DictReader(file):
                name = next(key for key in row if key.startswith("lr"))
                if row[name]:
                    found[int(row["step"])] = float(row[name])
    return found


def checkpoint(path: Path = LAST) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def configuration(path: str = "run/config.yaml") -> Any:
    return yaml.safe_load(Path(path).read_text())


# --- Changes that take effect --------------------------------------------------------------------

RATES = [
    ({}, {}, 4),  # more epochs alone
    (task(warmup_steps=3), task(warmup_steps=6), 3),
    (task(schedule="constant"), task(schedule="constant", optimizer=SGD), 3),
    (task(), task(schedule="constant"), 3),
    (
        task(scheduler=scheduler("StepLR", step_size=1, gamma=0.5)),
        task(scheduler=scheduler("StepLR", step_size=3, gamma=0.9), warmup_steps=2),
        5,
    ),
    (
        task(scheduler=scheduler("ExponentialLR", gamma=0.9)),
        task(scheduler=scheduler("ExponentialLR", gamma=0.9), scheduler_interval="step"),
        3,
    ),
    (
        task(scheduler=scheduler("StepLR", step_size=1)),
        task(
            scheduler=scheduler("OneCycleLR", max_lr=0.01, total_steps=20),
            scheduler_interval="step",
        ),
        3,
    ),
]


@pytest.mark.parametrize(("old", "new", "epochs"), RATES)
def test_rates_are_those_of_a_run_that_had_the_settings_from_the_start(
    config: Path, old: dict[str, Any], new: dict[str, Any], epochs: int
) -> None:
    api.fit(config, **old)
    api.fit(config, **new, ckpt_path="last", trainer__max_epochs=epochs)
    api.fit(config, **new, trainer={"max_epochs": epochs, "default_root_dir": "whole"})
    resumed, whole = rates(), rates("whole")
    after = {step for step in whole if step >= 8}  # epochs alone are logged where these count
    assert after and after <= resumed.keys()
    for step in after:
        assert resumed[step] == pytest.approx(whole[step], rel=1e-12, abs=1e-18), step


@pytest.mark.parametrize(
    "trainer",
    [
        {},
        {"limit_train_batches": 3},
        {"limit_train_batches": 0.5},
        {"overfit_batches": 2},
        {"accumulate_grad_batches": 3},
        {"check_val_every_n_epoch": 2},
    ],
)
def test_more_epochs_at_constant_rate_are_those_of_a_longer_run(
    config: Path, trainer: dict[str, Any]
) -> None:
    constant = task(schedule="constant")
    api.fit(config, **constant, trainer=trainer)
    resumed = api.fit(config, **constant, trainer=trainer | {"max_epochs": 5}, ckpt_path="last")
    whole = api.fit(
        config, **constant, trainer=trainer | {"max_epochs": 5, "default_root_dir": "whole"}
    )
    assert resumed.trainer.global_step == whole.trainer.global_step
    mine, other = checkpoint(resumed.last), checkpoint(whole.last)
    for key in ("state_dict", "current_model_state"):
        for name, value in other[key].items():
            assert torch.equal(mine[key][name], value), name


@pytest.mark.parametrize(
    ("size", "by", "steps"), [(6, "configurations", 2), (2, "configurations", 6), (40, "atoms", 2)]
)
def test_another_batch_size_counts_from_the_next_epoch(
    config: Path, size: int, by: str, steps: int
) -> None:
    api.fit(config)
    run = api.fit(
        config,
        data={"batch_size": size, "batch_by": by},
        ckpt_path="last",
        trainer__max_epochs=4,
    )
    assert run.trainer.global_step == 8 + 2 * steps
    # The default schedule falls over all steps, those that were taken and those that remain.
    total = 8 + 2 * steps
    for step, rate in rates().items():
        if step >= 8:
            assert rate == pytest.approx(0.5e-3 * (1 + np.cos(np.pi * step / total))), step


@pytest.mark.parametrize(
    ("new", "lines"),
    [
        ({"trainer__max_epochs": 3}, ["trainer.max_epochs: 2 → 3"]),
        (
            task(optimizer={"class_path": "AdamW", "init_args": {"lr": 1e-4}}, force_coefficient=3),
            ["model.optimizer.lr: 0.001 → 0.0001", "model.force_coefficient: 1.0 → 3.0"],
        ),
        (
            {"data__batch_size": 4, "early_stopping": {"patience": 7}, "ema": {"decay": 0.9}},
            [
                "data.batch_size: 3 → 4",
                "early_stopping.patience: null → 7",
                "ema.decay: 0.999 → 0.9",
            ],
        ),
        (
            task(energy_loss={"class_path": "torch.nn.MSELoss"}, schedule="constant"),
            ["model.energy_loss: null → torch.nn.MSELoss", "model.schedule: cosine → constant"],
        ),
        ({}, []),
    ],
)
def test_changes_are_printed_and_saved(
    config: Path, new: dict[str, Any], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    api.fit(config)
    before = configuration()
    capsys.readouterr()
    epochs = {"trainer__max_epochs": 3} if lines else {}
    api.fit(config, **{**new, **epochs}, ckpt_path="last")
    output = capsys.readouterr().out
    assert "resumed from run/checkpoints/last.ckpt after epoch 2, step 8\n" in output
    assert ("→" in output) == bool(lines)
    for line in lines:
        assert f"  {line}\n" in output
    assert Path("run/config_0.yaml").exists() == bool(lines)
    if lines:
        assert configuration("run/config_0.yaml") == before
        assert configuration() != before
    # Running the saved configuration again asks for nothing new.
    api.fit("run/config.yaml", ckpt_path="last", trainer__max_epochs=4)
    output = capsys.readouterr().out
    assert output.count("→") == 1 and "  trainer.max_epochs: " in output
    assert checkpoint()["configuration"] == configuration()
    api.fit(config, overwrite=True)
    assert not list(Path("run").glob("config_*.yaml"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"trainer__max_epochs": 2}),
        ({}, {"trainer__max_epochs": 2, "data__batch_size": 5}),
        ({"trainer__max_steps": 6}, {"trainer__max_steps": 6, "ema": None}),
    ],
)
def test_a_run_without_a_step_leaves_the_configuration(
    config: Path, old: dict[str, Any], new: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    api.fit(config, **old)
    before = Path("run/config.yaml").read_bytes()
    api.fit(config, **new, ckpt_path="last")
    assert "  nothing remains to train: " in capsys.readouterr().out
    assert Path("run/config.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "keeps"),
    [
        ({"class_path": "AdamW"}, {"class_path": "AdamW", "init_args": {"betas": [0.5, 0.9]}}, 1),
        ({"class_path": "AdamW"}, {"class_path": "AdamW", "init_args": {"amsgrad": True}}, 0),
        ({"class_path": "SGD"}, {"class_path": "SGD", "init_args": {"momentum": 0.9}}, 1),
        ({"class_path": "RMSprop"}, {"class_path": "RMSprop", "init_args": {"centered": True}}, 0),
        ({"class_path": "AdamW"}, {"class_path": "torch.optim.SGD"}, 0),
    ],
)
def test_arguments_of_the_optimizer(
    config: Path, old: dict[str, Any], new: dict[str, Any], keeps: int
) -> None:
    """Moments are kept where the optimiser has all that it needs, else they start anew."""

    def optimizer(description: dict[str, Any]) -> dict[str, Any]:
        arguments = {"lr": 1e-3} | description.get("init_args", {})
        return task(optimizer=description | {"init_args": arguments}, schedule="constant")

    api.fit(config, **optimizer(old))
    run = api.fit(config, **optimizer(new), ckpt_path="last", trainer__max_epochs=3)
    group = run.trainer.optimizers[0].param_groups[0]
    for name, value in new.get("init_args", {}).items():
        found = group[name]
        assert (list(found) if isinstance(found, tuple) else found) == value
    state = next(iter(run.trainer.optimizers[0].state.values()), {})
    if "step" in state:
        assert int(state["step"]) == (12 if keeps else 4)


@pytest.mark.parametrize("average", [True, False])
def test_averaging_may_begin_and_end(config: Path, average: bool) -> None:
    still = task(optimizer={"class_path": "SGD", "init_args": {"lr": 0.0}}, schedule="constant")
    api.fit(config, ema={"decay": 0.5} if not average else None)
    before = checkpoint()
    api.fit(
        config,
        **still,
        ema={"decay": 0.5} if average else None,
        ckpt_path="last",
        trainer__max_epochs=3,
    )
    after = checkpoint()
    current = before.get("current_model_state", before["state_dict"])
    for name, value in current.items():
        torch.testing.assert_close(after["state_dict"][name], value)
    assert ("current_model_state" in after) == average


@pytest.mark.parametrize("patience", [2, 4, 6])
def test_another_patience_counts(config: Path, patience: int) -> None:
    still = task(optimizer={"class_path": "SGD", "init_args": {"lr": 0.0}}, schedule="constant")
    stopped = api.fit(config, **still, early_stopping={"patience": 1}, trainer__max_epochs=20)
    assert stopped.trainer.current_epoch == 2
    resumed = api.fit(
        config,
        **still,
        early_stopping={"patience": patience},
        trainer__max_epochs=20,
        ckpt_path="last",
    )
    assert resumed.trainer.current_epoch == patience + 1


@pytest.mark.parametrize(
    ("old", "new", "rate", "waited"),
    [
        ({"patience": 0, "factor": 0.5}, {"patience": 9, "factor": 0.5}, 0.25e-3, 3),
        ({"patience": 9, "factor": 0.5}, {"patience": 2, "factor": 0.1}, 1e-4, 0),
        ({"patience": 0, "factor": 0.5}, {"patience": 0, "factor": 0.1}, 0.25e-6, 0),
    ],
)
def test_plateaus_continue_to_wait(
    config: Path, old: dict[str, Any], new: dict[str, Any], rate: float, waited: int
) -> None:
    """Nothing improves enough: validations 2, 3 and, after resuming, 4, 5, 6 have no success."""

    def plateau(arguments: dict[str, Any]) -> dict[str, Any]:
        return task(scheduler=scheduler("ReduceLROnPlateau", threshold=0.99, **arguments))

    api.fit(config, **plateau(old), trainer__max_epochs=3)
    run = api.fit(config, **plateau(new), trainer__max_epochs=6, ckpt_path="last")
    assert run.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(rate)
    found = run.trainer.lr_scheduler_configs[0].scheduler
    assert found.patience == new["patience"] and found.factor == new["factor"]
    assert found.num_bad_epochs in (waited, waited + 2)


def test_a_checkpoint_of_an_earlier_version_is_compared_with_the_saved_configuration(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.fit(config)
    content = checkpoint()
    del content["configuration"], content["DataModule"]["structures"]
    torch.save(content, LAST)
    with pytest.raises(TorchMLError, match=r"data\.split\.train 12.*training and validation"):
        api.fit(config, data__split={"train": 11, "val": 5, "test": 4}, ckpt_path="last")
    api.fit(config, ckpt_path="last", trainer__max_epochs=3)
    assert "  trainer.max_epochs: 2 → 3\n" in capsys.readouterr().out


# --- Changes that are refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (task(model={"init_args": {"cutoff": 2.5}}), "model.arguments.cutoff 3.0"),
        (task(model={"init_args": {"features": 16}}), "model.arguments.features 8"),
        (task(model={"init_args": {"species": ["Ar", "Ne"]}}), "model.arguments.species"),
        (task(model={"init_args": {"dtype": "float32"}}), "model.arguments.dtype 'float64'"),
        (task(model={"class_path": "torchml.models.PaiNN"}), "model.class_path"),
        (task(normalization={"scale": 2.0}), "model.normalization.scale auto"),
        (task(targets=[{"name": "charges"}]), "heads.networks.charges"),
        ({"model": {"class_path": "torchml.training.IS2RE"}}, "task 's2ef'"),
        ({"trainer__max_epochs": 1}, "is of epoch 2, but trainer.max_epochs is 1"),
        ({"data__split": {"seed": 7}}, "training and validation must not mix"),
    ],
)
def test_what_may_not_change_is_one_sentence(
    config: Path, new: dict[str, Any], sentence: str
) -> None:
    api.fit(config)
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    with pytest.raises(TorchMLError) as error:
        api.fit(config, **new, ckpt_path="last")
    assert sentence in str(error.value) and "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


def test_data_may_move_and_grow_but_not_mix(config: Path, data: Path) -> None:
    frames = read(data, ":")
    write("train.extxyz", frames[:10])
    write("val.extxyz", frames[10:13])
    sources = {"train": "train.extxyz", "val": "val.extxyz", "split": None}
    api.fit(config, data=sources)
    # The same files at another place, and more structures to train on.
    shutil.move("train.extxyz", "moved.extxyz")
    write("more.extxyz", frames[13:])
    moved = sources | {"train": "moved.extxyz"}
    api.fit(config, data=moved, ckpt_path="last", trainer__max_epochs=3)
    more = sources | {"train": ["moved.extxyz", "more.extxyz"]}
    run = api.fit(config, data=more, ckpt_path="last", trainer__max_epochs=4)
    assert len(run.data.configurations("train")) == 17
    for mixed, sentence in [
        ({"train": "val.extxyz", "val": "more.extxyz"}, "3 configurations are in the training"),
        ({"train": "moved.extxyz", "val": "more.extxyz"}, "7 configurations are in the validation"),
        ({"train": ["moved.extxyz", "more.extxyz"], "val": None}, "in the validation data now"),
    ]:
        with pytest.raises(TorchMLError, match=sentence):
            api.fit(config, data=sources | mixed, ckpt_path="last", trainer__max_epochs=5)


@pytest.mark.parametrize(
    ("new", "key"),
    [
        ({"data__batch_size": 4}, "data.batch_size 3"),
        ({"data__seed": 1}, "data.seed 0"),
        ({"trainer__limit_train_batches": 3}, "trainer.limit_train_batches null"),
    ],
)
def test_batches_cannot_change_in_the_middle_of_an_epoch(
    config: Path, new: dict[str, Any], key: str
) -> None:
    api.fit(config, checkpoint={"every_n_steps": 3})
    path = "run/checkpoints/step_6.ckpt"
    with pytest.raises(TorchMLError, match=f"{key}.*in the middle of an epoch"):
        api.fit(config, **new, ckpt_path=path)
    api.fit(config, ckpt_path=path, trainer__max_epochs=3)
    assert set(rates()) == set(range(12))
