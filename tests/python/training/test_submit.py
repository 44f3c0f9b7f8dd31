"""`torchml submit` with submitit's own executors; no cluster is needed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import submitit
import torch

from helpers import slurm
from torchml import cli as commands
from torchml.training import cli, fit
from torchml.training.submit import Job, _reason


def torchml(*words: object) -> int:
    return commands.main([str(word) for word in words])


def test_two_tasks_of_a_job_train_together(
    config: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = ("--cluster", "local", "--tasks-per-node", 2, "--time", 5, "--wait")
    assert torchml("submit", "--config", config, *options) == 0, capfd.readouterr()
    output = capfd.readouterr().out
    assert "submitted job" in output and "run/checkpoints/best.ckpt" in output
    logs = list(Path("run/jobs").glob("*_log.out"))
    assert len(logs) == 2
    assert sum("epoch 2/2" in log.read_text() for log in logs) == 1
    one = fit(config, data__batch_size=6, trainer__default_root_dir="one")
    first, second = (
        torch.load(path, weights_only=True) for path in (one.last, "run/checkpoints/last.ckpt")
    )
    for name, value in first["state_dict"].items():
        torch.testing.assert_close(second["state_dict"][name], value, rtol=1e-6, atol=1e-9)


def test_a_job_that_was_stopped_goes_on(config: Path) -> None:
    last = Path("run/checkpoints/last.ckpt").absolute()
    words = ("fit", "--config", str(config))
    job = Job((*words, "--trainer.max_epochs", "3"), last)
    # Stopped in its second epoch: what submitit would queue again, and pickles.
    cli.run([*words, "--trainer.max_epochs", "3", "--trainer.limit_train_batches", "4"])
    later = pickle.loads(pickle.dumps(job.checkpoint().function))
    assert later.resume and later.arguments == job.arguments
    before = torch.load(last, weights_only=True)["epoch"]
    Job((*words, "--trainer.max_epochs", "5"), last, resume=True)()
    assert torch.load(last, weights_only=True)["epoch"] == before + 2


def test_a_job_that_was_stopped_before_its_first_checkpoint_starts_anew(
    config: Path,
) -> None:
    last = Path("run/checkpoints/last.ckpt").absolute()
    best = Job(("fit", "--config", str(config)), last, resume=True)()
    assert Path(best).exists() and last.exists()


def test_a_job_trains_a_committee(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """On one task, whose processes train the members; what was stopped goes on."""
    words = ("--config", config, "--members", 2, "--cluster", "local", "--time", 5, "--wait")
    assert torchml("submit", *words, "--tasks-per-node", 2) == 1
    assert "members is 2 and there are 2 tasks, expected one" in capfd.readouterr().err
    assert torchml("submit", *words) == 0, capfd.readouterr()
    assert "run/member2/checkpoints/best.ckpt" in capfd.readouterr().out
    (submission,) = Path("run/jobs").glob("*submitted.pkl")
    job = submitit.core.utils.DelayedSubmission.load(submission).function
    Path("run/member2").rename("run/before")
    assert Path(job.checkpoint().function()) == Path("run/member2/checkpoints/best.ckpt")
    printed = capfd.readouterr().out
    assert "member 1 of 2:   nothing remains to train" in printed
    assert "member 2 of 2: epoch 2/2" in printed


def test_the_configuration_is_checked_before_submission(
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert torchml("submit", "--config", config, "--cluster", "local", "--data.trian", "x") == 1
    error = capsys.readouterr().err
    assert error.startswith("torchml submit: error: ") and "--data.trian" in error
    assert not Path("run").exists()
    Path("run/checkpoints").mkdir(parents=True)
    Path("run/checkpoints/last.ckpt").touch()
    assert torchml("submit", "--config", config, "--cluster", "local") == 1
    assert "holds a training already" in capsys.readouterr().err
    assert not Path("run/jobs").exists()


def test_what_slurm_is_asked_for(
    config: Path,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With an sbatch that only keeps what it is given."""
    slurm.stand_in(scratch, monkeypatch)
    options = ("--nodes", 2, "--tasks-per-node", 3, "--gpus-per-node", 3, "--time", 90)
    further = ("--partition", "gpu", "--mem", 16, "--slurm", "qos=long", "--data.batch_size", 2)
    assert torchml("submit", "--config", config, *options, *further) == 0
    assert "submitted job 77" in capsys.readouterr().out
    script = Path("job.sh").read_text()
    for line in ("nodes=2", "ntasks-per-node=3", "time=90", "partition=gpu", "mem=16GB"):
        assert f"#SBATCH --{line}\n" in script
    assert "#SBATCH --qos=long\n" in script and "gpus-per-node=3" in script
    (submission,) = Path("run/jobs").glob("*submitted.pkl")
    words = submitit.core.utils.DelayedSubmission.load(submission).function.arguments
    assert words[:3] == ("fit", "--config", str(config))
    text = " ".join(words)
    assert "--data.batch_size 2" in text and "--trainer.num_nodes 2" in text
    assert "--trainer.devices 3" in text and "--trainer.strategy ddp" in text


def test_the_reason_of_a_failure_is_found() -> None:
    trace = "Job (task=0) failed during processing with trace:\n----\nTraceback\n  File 'a.py'\n"
    trace += "torchml._core.Error: a.extxyz does not exist\n\n----\nYou can check full logs with x"
    assert _reason(trace) == "a.extxyz does not exist"
    assert _reason("killed") == "see its output"
