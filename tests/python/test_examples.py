"""The data of the demonstration are what they claim to be, and the other examples run."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from rich.console import Console

from helpers import portable
from torchml.contract import metadata
from torchml.data import Configuration
from torchml.data.batch import collate, make_sample
from torchml.data.graph import GraphBuilder
from torchml.inference.deviation_files import Deviations
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

    monkeypatch.setattr(example, "TRAINING", silicon_data.Size(snapshots=1, strained=2))
    monkeypatch.setattr(example, "BONDS", [2.4])
    monkeypatch.setattr(example, "EPOCHS", dict.fromkeys(example.EPOCHS, 1))
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
    for _ in range(2):  # a second run replaces the models of the first
        assert example.examine(maker, ["descriptor"], []) == 0
    sys.modules.pop("validate")


def test_active_learning_adds_the_structures_where_the_members_differ_most(
    silicon_data: ModuleType, collection: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choice, and one short round in which LAMMPS stops at the first record that it can."""
    import active_figure
    import active_learning as example

    def heating(largest: dict[int, float], symbol: str) -> Any:
        records = [Deviations(step, 64, value, value / 2, ()) for step, value in largest.items()]
        return example.Heating(records, [Atoms(symbol, [[k, 0, 0]]) for k in range(len(largest))])

    # 3.5 is too much, and the record at 20 is too close to that at 10.
    one = heating({0: 0.1, 10: 0.5, 20: 0.4, 50: 0.2, 60: 0.3, 70: 3.5}, "Si")
    other = heating({20: 0.45, 80: 0.9}, "Ge")
    other.structures.pop()  # LAMMPS stopped
    for count, expected in ((2, ["Si1", "Ge0"]), (9, ["Si1", "Ge0", "Si4"])):
        chosen = example.choose([one, other], count)
        assert [f"{a.symbols[0]}{a.positions[0, 0]:.0f}" for a in chosen] == expected

    monkeypatch.setattr(example, "STOP", 1e-3)
    size = example.Size(
        rounds=1,
        structures=8,
        added=2,
        members=2,
        training_steps=50,
        heatings=1,
        heating_steps=50,
        tested=2,
    )
    learning = example.learn(scratch / "out", 0, size, Console(quiet=True))
    ((heated,),) = learning.heatings
    assert [record.largest > example.STOP for record in heated.records] == [False, True]
    (visited,) = read(scratch / "out/round0/heating0/dump.txt", ":", format="lammps-dump-text")
    first, second = (read(scratch / f"out/round{number}/train.extxyz", ":") for number in range(2))
    (added,) = second[len(first) :]
    np.testing.assert_allclose(added.positions, visited.positions, atol=1e-7)
    assert added.get_potential_energy() / len(added) == pytest.approx(-4.3363, abs=1e-3)
    assert [one.structures for one in (*learning.rounds, learning.random)] == [8, 9, 9]
    active_figure.draw(learning, example.STOP, scratch / "active.png")
    assert (scratch / "active.png").stat().st_size > 10_000
    sys.modules.pop("active_learning")
    sys.modules.pop("active_figure")
