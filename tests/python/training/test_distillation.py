"""One network learns the mean of a committee."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase.io import read

from torchml import Potential
from torchml.cli import main
from torchml.data import Configuration, DataModule
from torchml.data import read as read_configurations
from torchml.data.splits import Split
from torchml.errors import TorchMLError
from torchml.importers.opening import load
from torchml.training import fit

RUN = Path("run")


def saved(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())


def weights(folder: Path) -> torch.Tensor:
    model = load(folder / "checkpoints" / "best.ckpt").model
    return torch.cat([p.flatten() for p in model.parameters()])


def configurations_of(folder: Path, part: str) -> list[Configuration]:
    data = saved(folder)["data"]
    module = DataModule(data["train"], split=Split(**data["split"]), seed=data["seed"])
    return list(module.configurations(part))


def test_a_network_learns_the_mean_of_the_members(config: Path) -> None:
    """One configuration trains all of it; what validates and tests is new to all."""
    text = yaml.safe_load(config.read_text()) | {"members": 2, "distill": True}
    text["trainer"]["max_epochs"] = 8
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"weight_decay": 0.04}}
    text["model"]["optimizer"] = optimizer
    config.write_text(yaml.safe_dump(text))
    run = fit(config)
    assert run.best == RUN / "checkpoints" / "best.ckpt" and run.best.is_file()
    members = [RUN / f"member{k}" for k in (1, 2)]
    assert [saved(one)["data"]["seed"] for one in members] == [0, 0]
    assert len({tuple(weights(one).tolist()) for one in (*members, RUN)}) == 3
    # 12 configurations and three copies of each, with the mean of what the members say.
    learned = saved(RUN)
    assert learned["members"] == 1 and not learned["distill"]
    assert learned["trainer"]["max_epochs"] == 2  # as many steps as those of a member
    assert learned["model"]["init_args"]["optimizer"]["init_args"]["weight_decay"] == 0.01
    structures = read(learned["data"]["train"], ":")
    assert len(structures) == 48
    potentials = [Potential(one / "checkpoints" / "best.ckpt") for one in members]
    for atoms in structures[::5]:
        said = [potential.evaluate(atoms) for potential in potentials]
        assert atoms.get_potential_energy() == pytest.approx(np.mean([s.energy for s in said]))
        np.testing.assert_allclose(
            atoms.get_forces(), np.mean([s.forces for s in said], axis=0), atol=1e-6
        )
    # The labels of the other parts are those of the data.
    for part in ("val", "test"):
        before = configurations_of(members[0], part)
        after = read_configurations(learned["data"][part])
        assert [one.energy for one in after] == [one.energy for one in before]
        assert len(after) == 4
    # What is there is not replaced, and not trained again before that is said.
    assert main(["fit", "--config", str(config)]) == 1
    # Its configuration trains it alone.
    again = fit(RUN / "config.yaml", trainer__default_root_dir="again")
    assert again.metrics == run.metrics


def test_what_began_is_resumed(config: Path) -> None:
    """With the same weights as in one go."""
    words = ["fit", "--config", str(config), "--members", "2", "--distill"]
    assert main(words) == 0
    whole = weights(RUN)
    for lost in ("checkpoints", "distillation"):
        (RUN / lost).rename(RUN / f"old {lost}")
    (RUN / "member2").rename(RUN / "old member2")
    assert main([*words, "--ckpt_path", "last"]) == 0
    assert torch.equal(weights(RUN), whole)
    assert torch.equal(weights(RUN / "member2"), weights(RUN / "old member2"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--distill"], "members is 1, expected at least 2 with distill"),
        (["--members", "0"], "members is 0, expected at least 1"),
        (
            ["--members", "2", "--distill", "--trainer.fast_dev_run", "true"],
            "distill is true, but trainer.fast_dev_run leaves no members to learn from",
        ),
        (
            ["--members", "2", "--distill", "--model.targets", "[{name: charge}]"],
            "distill is true, but the task learns more than energies, forces and stress",
        ),
        (
            ["--members", "2", "--distill", "--model", "torchml.training.IS2RE"],
            "distill is true, but the task learns more than energies, forces and stress",
        ),
    ],
)
def test_wrong_words_are_refused(words, sentence, config: Path, capsys) -> None:
    assert main(["fit", "--config", str(config), *words]) == 1
    assert sentence in capsys.readouterr().err
    assert not RUN.exists()


def test_a_committee_is_not_made_of_an_object(config: Path, data: Path) -> None:
    with pytest.raises(TorchMLError, match="members is 2, but data is an object"):
        fit(config, data=list(read_configurations(str(data))), members=2)
