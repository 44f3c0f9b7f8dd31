"""`torchml fit --members` trains networks that differ, and its folder is a committee."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase.io import read

from torchml import Potential
from torchml.cli import export_main, main
from torchml.data.module import DataModule
from torchml.importers.opening import load

pytestmark = pytest.mark.usefixtures("quick_probe")


def fit(config: Path, *words: str) -> int:
    return main(["fit", "--config", str(config), "--members", "2", *words])


def test_members_differ_and_are_a_committee(config: Path, data: Path, scratch: Path) -> None:
    assert fit(config) == 0
    folders = [scratch / "run" / f"member{k}" for k in (1, 2)]
    saved = [yaml.safe_load((folder / "config.yaml").read_text()) for folder in folders]
    assert [one["seed_everything"] for one in saved] == [0, 1]
    assert [one["data"]["seed"] for one in saved] == [0, 1]
    checkpoints = [folder / "checkpoints" / "best.ckpt" for folder in folders]
    one, other = (
        torch.cat([p.flatten() for p in load(path).model.parameters()]) for path in checkpoints
    )
    assert not torch.allclose(one, other)
    words = ["run", "--committee", "--name", "Argon", "--dtype", "float64"]
    assert export_main(words) == 0
    committee = Potential("Argon__MO_000000000000_000")
    assert committee.spec.members == 2
    atoms = read(data, 0)
    members = committee.evaluate(atoms, members=True).members
    for k, path in enumerate(checkpoints):
        alone = Potential(path).evaluate(atoms)
        assert members.energies[k] == pytest.approx(alone.energy, rel=1e-12)
        np.testing.assert_allclose(members.forces[k], alone.forces, rtol=0, atol=1e-11)
    # What is there already is not replaced, and only whole committees are exported.
    assert fit(config) == 1
    checkpoints[1].unlink()
    assert export_main([*words, "--overwrite"]) == 1


def test_each_member_validates_on_another_part(data: Path) -> None:
    """Without data.val and data.split."""
    parts = [
        {one.positions.tobytes() for one in DataModule(str(data), seed=k).configurations("val")}
        for k in (0, 1)
    ]
    assert all(parts) and parts[0] != parts[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fit", "--members", "0"], "members is 0, expected at least 1"),
        (["test", "--members=3"], "'test --members 3' is given, expected fit"),
        (["fit", "--members", "2", "--ckpt_path", "a.ckpt"], "--ckpt_path is 'a.ckpt' beside"),
        (["fit", "--members", "2", "--seed_everything", "false"], "seed_everything is False"),
    ],
)
def test_wrong_words_are_refused(words, sentence, config: Path, capsys) -> None:
    assert main([words[0], "--config", str(config), *words[1:]]) == 1
    assert sentence in capsys.readouterr().err


def test_members_of_a_larger_committee_are_not_kept(config: Path, scratch: Path, capsys) -> None:
    (scratch / "run" / "member3").mkdir(parents=True)
    assert fit(config) == 1
    assert "holds a member of an earlier training" in capsys.readouterr().err
