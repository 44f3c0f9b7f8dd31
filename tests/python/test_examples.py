"""The data of the demonstration are what they claim to be, and the example of descriptors runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase.io import read
from rich.console import Console

from helpers import portable
from torchml.contract import metadata
from torchml.data import Configuration
from torchml.data.batch import collate, make_sample
from torchml.data.graph import GraphBuilder
from torchml.models import StillingerWeber
from torchml.training.loop.prediction import predict

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def silicon_data(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, making few structures."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import silicon_data

    monkeypatch.setattr(silicon_data, "TRAINING", silicon_data.Size(snapshots=1, strained=2))
    monkeypatch.setattr(silicon_data, "TEST", silicon_data.Size(snapshots=1, strained=1))
    monkeypatch.setattr(silicon_data, "TEMPERATURES", (300.0, 1500.0))
    monkeypatch.setattr(silicon_data, "WARM_UP", 5)
    monkeypatch.setattr(silicon_data, "INTERVAL", 5)
    monkeypatch.setattr(silicon_data, "find_native", portable.openkim_sw)
    yield silicon_data
    sys.modules.pop("silicon_data")


def test_the_labels_are_those_of_stillinger_and_weber(
    silicon_data: ModuleType, scratch: Path
) -> None:
    model = StillingerWeber()
    builder = GraphBuilder(model.species, model.cutoff, model.layers)
    train, test = silicon_data.generate(scratch / "data", seed=1)
    structures = read(train, ":") + read(test, ":")
    assert [len(read(file, ":")) for file in (train, test)] == [4, 3]
    for atoms in structures:
        one = Configuration.from_atoms(atoms)
        mine = predict(model, collate([make_sample(one, builder(one), 0)]), stress=True)
        # Files hold eight decimals.
        assert mine.energy.item() == pytest.approx(one.energy, abs=1e-5)
        np.testing.assert_allclose(mine.forces.numpy(), one.forces, atol=1e-5)
        np.testing.assert_allclose(mine.stress[0].numpy(), one.stress, atol=1e-7)


def test_a_seed_makes_the_same_files_and_no_structure_is_in_both(
    silicon_data: ModuleType, scratch: Path
) -> None:
    first = silicon_data.generate(scratch / "a", seed=1)
    again = silicon_data.generate(scratch / "b", seed=1)
    other = silicon_data.generate(scratch / "c", seed=2)
    assert [one.read_text() for one in first] == [one.read_text() for one in again]
    assert first[0].read_text() != other[0].read_text()
    energies = [{atoms.get_potential_energy() for atoms in read(one, ":")} for one in first]
    assert not energies[0] & energies[1]
    assert not (scratch / "kim.log").exists()


def test_the_example_of_descriptors_runs(
    silicon_data: ModuleType, collection: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few structures and epochs: errors are large, all else is as it shall be."""
    import descriptor_potential as example

    monkeypatch.setattr(example, "TRAIN", silicon_data.Size(snapshots=1, strained=2))
    monkeypatch.setattr(example, "TEST", silicon_data.Size(snapshots=1, strained=0))
    monkeypatch.setattr(example, "EPOCHS", 20)
    monkeypatch.setattr(example, "STEPS", 20)
    monkeypatch.setattr(example, "ENERGY_ERROR", 1.0)
    monkeypatch.setattr(example, "FORCES_ERROR", 1.0)
    monkeypatch.setattr(example, "DRIFT", 0.1)  # 20 steps are no period of a phonon
    assert example.work(scratch / "out", Console(quiet=True)) == 0
    assert (scratch / "out" / "descriptor_potential.png").stat().st_size > 10_000
    sys.modules.pop("descriptor_potential")


def test_each_model_of_the_validation_is_checked_and_a_failure_counts(
    silicon_data: ModuleType, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check itself has its own tests."""
    import validate as example

    checked: list[list[str]] = []

    def check(command: list[str]) -> int:
        words = command[command.index("torchml") + 1 :]
        checked.append(words)
        return 1 if "graph" in words[1] else 0

    monkeypatch.setattr(example.subprocess, "call", check)
    maker = example.Maker(scratch)
    assert all(callable(getattr(maker, name)) for name in example.MODELS)
    assert example.examine(maker, ["raw", "schnet"], ["--quick"]) == 0
    assert example.examine(maker, ["graph"], []) == 1
    conventions = [metadata.read(words[1]).convention for words in checked]
    assert conventions == ["raw", "edges", "graph"]
    assert checked[0][0] == "check" and checked[0][2:4] == ["--quick", "--html"]
    sys.modules.pop("validate")
