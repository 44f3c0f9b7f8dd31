"""Files of version 0.1.0 load, resume and compute what they did: see tests/data/before_house."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase.io import read
from numpy.typing import ArrayLike, NDArray

from torchml import Potential
from torchml.cli import main
from torchml.importers.checkpoint import load_model
from torchml.training import test as run_test

FILES = Path(__file__).parents[2] / "data" / "before_house"
PORTABLE = "Old_SchNet__MO_000000000000_000"


@pytest.fixture
def folder(scratch: Path) -> Path:
    shutil.copytree(FILES, scratch, dirs_exist_ok=True)
    return scratch


@pytest.fixture(scope="module")
def expected() -> dict[str, NDArray[np.float64]]:
    with np.load(FILES / "expected.npz") as content:
        return dict(content)


def assert_same(value: ArrayLike, expected: dict[str, NDArray[np.float64]], name: str) -> None:
    """Equal bits where torch, the instruction set and the maker of the processor are the same.

    Processors of another maker sum products in another order: equal to the last digits there, and
    within rounding with another torch or instruction set.
    """
    made_by = [torch.__version__, torch.backends.cpu.get_cpu_capability()]
    if expected["made_by"].tolist() != made_by:
        tolerance = {"rtol": 1e-7, "atol": 1e-9}
    elif "GenuineIntel" in Path("/proc/cpuinfo").read_text():  # as the processor that made them
        tolerance = {"rtol": 0, "atol": 0}
    else:
        tolerance = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(np.asarray(value), expected[name], err_msg=name, **tolerance)


def assert_trained_alike(
    value: ArrayLike, expected: dict[str, NDArray[np.float64]], name: str
) -> None:
    """Equal within rounding: trainings sum messages in another order than version 0.1.0."""
    np.testing.assert_allclose(
        np.asarray(value), expected[name], rtol=1e-7, atol=1e-9, err_msg=name
    )


@pytest.mark.parametrize("file", ["run/checkpoints/best.ckpt", f"{PORTABLE}/model.pt", PORTABLE])
def test_energies_and_forces_are_those_of_before(
    file: str, expected: dict[str, NDArray[np.float64]]
) -> None:
    potential = Potential(FILES / file)
    results = [potential.evaluate(atoms) for atoms in read(FILES / "argon.extxyz", ":")]
    name = Path(file).name
    assert_same([result.energy for result in results], expected, f"{name}/energy")
    forces = np.concatenate([result.forces for result in results if result.forces is not None])
    assert_same(forces, expected, f"{name}/forces")


def test_the_checkpoint_builds_its_model() -> None:
    model = load_model(FILES / "run/checkpoints/best.ckpt")
    assert type(model.network).__name__ == "SchNet" and model.species == ["Ne", "Ar"]


def test_errors_on_test_data_are_those_of_before(
    folder: Path, expected: dict[str, NDArray[np.float64]]
) -> None:
    metrics = run_test("run/config.yaml").metrics
    assert f"metrics/{min(metrics)}" in expected
    for name, value in metrics.items():
        assert_trained_alike(value, expected, f"metrics/{name}")


def test_the_run_goes_on(folder: Path, expected: dict[str, NDArray[np.float64]]) -> None:
    words = ["--config", "run/config.yaml", "--ckpt_path", "last", "--trainer.max_epochs", "3"]
    assert main(["fit", *words]) == 0
    checkpoint = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 2
    for key in ("state_dict", "current_model_state"):
        for name, value in checkpoint[key].items():
            assert_trained_alike(value.numpy(), expected, f"{key}/{name}")
    # What is written now has public names.
    assert checkpoint["torchml"]["model"]["class_path"] == "torchml.models.SchNet"
    options = yaml.safe_load(Path("run/config.yaml").read_text())["model"]["init_args"]
    assert options["force_loss"]["class_path"] == "torchml.training.VectorNormLoss"
