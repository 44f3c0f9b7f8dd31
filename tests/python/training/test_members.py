"""`torchml fit --members` trains networks that differ, and its folder is a committee."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
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
from torchml.training import api

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
        (["fit", "--members_at_once", "0"], "members_at_once is 0, expected at least 1"),
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


def test_members_train_at_the_same_time(config: Path, monkeypatch, capsys) -> None:
    """With modules that this process can import, and its cores shared."""
    folder = config.parent / "elsewhere"
    folder.mkdir()
    (folder / "own_losses.py").write_text(
        """
import time, torch
from pathlib import Path

class Meeting(torch.nn.MSELoss):
    def __init__(self):
        super().__init__()
        Path(str(time.time_ns())).touch()
        Path("threads").write_text(str(torch.get_num_threads()))
        end = time.monotonic() + 60
        while len(list(Path(".").glob("1*"))) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
"""
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run = api.fit(config, members=2, members_at_once=2, model__force_loss="own_losses.Meeting")
    assert Path("threads").read_text() == "1"
    assert run.folder == Path("run/member2") and run.best.is_file()
    with pytest.raises(AttributeError, match=r"task: members are trained in processes of their"):
        _ = run.task
    printed = capsys.readouterr().out
    assert "2 members, 2 at once: run/member1 to member2" in printed
    assert "member 1 of 2: epoch 2/2" in printed and "member 2 of 2: epoch 2/2" in printed


def test_an_error_of_a_member_is_one_sentence(config: Path, capsys) -> None:
    assert fit(config, "--data.train", "missing.extxyz", "--members_at_once", "1") == 1
    error = capsys.readouterr().err
    assert error.startswith("torchml fit: error: member 1 of 2: ")
    assert "missing.extxyz" in error and error.count("\n") == 1


def running_commands() -> Iterator[bytes]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # a process that ends meanwhile
            yield file.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_members_end_with_their_committee(config: Path, number: signal.Signals) -> None:
    """What they have trained can be resumed."""
    words = ["fit", "--config", str(config), "--members", "2", "--trainer.max_epochs", "5000"]
    with subprocess.Popen(
        [sys.executable, "-m", "torchml", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background commands, as CI may be one, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        checkpoint = Path("run/member1/checkpoints/last.ckpt")
        end = time.monotonic() + 120
        while not checkpoint.exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.1)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
        assert process.returncode != 0
        if number == signal.SIGINT:
            assert error.decode() == (
                "torchml fit: error: interrupted; resume it by --ckpt_path last\n"
            )
    assert not any(str(config).encode() in words for words in running_commands())
    loaded = torch.load(checkpoint, weights_only=True)
    assert 0 < loaded["global_step"] < 20000
