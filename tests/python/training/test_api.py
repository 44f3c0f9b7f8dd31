"""Training from Python with objects: networks, data modules and configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from ase import Atoms

import torchml
from helpers.kliff_model import KliffNetwork
from torchml.data import DataModule, read
from torchml.errors import TorchMLError
from torchml.models import SchNet
from torchml.models.staged import StagedModel
from torchml.training import fit, predict, validate
from torchml.training import test as run_test


def network() -> SchNet:
    torch.manual_seed(0)
    return SchNet(["Ne", "Ar"], 3.0, layers=2, features=8, gaussians=6)


def saved() -> Any:
    return yaml.safe_load(Path("run/config.yaml").read_text())


def test_fit_is_a_name_of_the_package() -> None:
    assert torchml.fit is fit


def test_a_network_is_trained_itself_and_described(config: Path) -> None:
    model = network()
    run = fit(config, model=model)
    assert run.task.model.network is model
    description = saved()["model"]["init_args"]["model"]
    assert description["class_path"] == "torchml.models.SchNet"
    assert description["init_args"]["species"] == ["Ne", "Ar"]
    # With the same first weights, the saved configuration is the same run.
    again = fit("run/config.yaml", model=network(), trainer__default_root_dir="again")
    assert again.metrics == run.metrics
    metrics = run_test("run/config.yaml").metrics
    assert metrics == run_test("run/config.yaml", model=network()).metrics


def test_configurations_and_data_modules_are_taken(config: Path, data: Path) -> None:
    configurations = list(read(str(data)))
    split = {"train": 12, "val": 4, "test": 4}
    by_file = fit(config, data__split=split)
    by_list = fit(config, data=configurations, data__split=split, overwrite=True)
    assert saved()["data"]["train"] is None and saved()["data"]["batch_size"] == 3
    module = DataModule(str(data), split=by_file.data.split, batch_size=3)
    by_module = fit({}, **_sections(config), data=module, overwrite=True)
    assert by_file.metrics == by_list.metrics == by_module.metrics
    assert saved()["data"]["train"] == str(data) and saved()["data"]["split"]["val"] == 4
    part = by_file.data.configurations("test")
    metrics = run_test("run/config.yaml").metrics
    assert metrics == run_test("run/config.yaml", data=part).metrics
    assert validate("run/config.yaml", data=part).metrics["val/loss"] == metrics["test/loss"]
    predict("run/config.yaml", data=part)
    assert len(read("run/predictions.extxyz")) == len(part)


def _sections(config: Path) -> dict[str, Any]:
    content = yaml.safe_load(config.read_text())
    return {key: value for key, value in content.items() if key != "data"}


def test_each_file_is_read_once(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = []
    monkeypatch.setattr(
        "torchml.data.module.read", lambda *words: sources.append(words[0]) or read(*words)
    )
    fit(config)
    assert len(sources) == 1


def test_data_are_prepared_anew_for_another_network(config: Path, data: Path) -> None:
    """A data module keeps graphs only for the network that they were built for."""
    module = DataModule(str(data), batch_size=3)
    for cutoff in (3.0, 2.0):
        model = SchNet(["Ne", "Ar"], cutoff, layers=2, features=8)
        run = fit({}, trainer={"max_epochs": 1}, model=model, data=module, overwrite=True)
        vectors = run.data.dataset("train")[[0, 1, 2]].edge_vectors
        assert vectors.norm(dim=1).max() < cutoff


def test_a_network_of_the_program_is_not_in_the_configuration(config: Path) -> None:
    model = StagedModel(KliffNetwork(3.0), ["Ne", "Ar"], 3.0, 2, "atomic_number")
    run = fit(config, model=model)
    assert run.task.model is model
    with pytest.raises(TorchMLError, match="the model was an object of the program"):
        fit("run/config.yaml", trainer__default_root_dir="again")


@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        ({"model": torch.nn.Linear(2, 2)}, "model is a Linear, expected an EdgeModel"),
        ({"data": [Atoms("Ar")]}, "data is or holds a Atoms, expected a DataModule"),
        ({"data": []}, "data is or holds a list, expected a DataModule"),
        ({"trainer__callbacks": [torch.nn.Linear(2, 2)]}, "the configuration holds a Linear"),
    ],
)
def test_other_objects_are_refused(config: Path, objects: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TorchMLError, match=sentence):
        fit(config, **objects)
    assert not Path("run").exists()
