"""`torchml submit` with submitit's own executors; no cluster is needed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

# Both are used as fixtures here.
from test_training_cli import config, data  # noqa: F401

from torchml import cli as commands
from torchml.training import cli
from torchml.training.submit import Job

submitit = pytest.importorskip("submitit")


def torchml(*words: object) -> int:
    return commands.main([str(word) for word in words])


def test_two_tasks_of_a_job_train_together(
    config: Path,  # noqa: F811
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = ("--cluster", "local", "--tasks-per-node", 2, "--time", 5, "--wait")
    assert torchml("submit", "--config", config, *options) == 0, capfd.readouterr()
    output = capfd.readouterr().out
    assert "submitted job" in output and "run/checkpoints/best.ckpt" in output
    logs = list(Path("run/jobs").glob("*_log.out"))
    assert len(logs) == 2
    assert sum("epoch 2/2" in log.read_text() for log in logs) == 1
    one = cli.fit(config, data__batch_size=6, trainer__default_root_dir="one")
    first, second = (
        torch.load(path, weights_only=True) for path in (one.last, "run/checkpoints/last.ckpt")
    )
    for name, value in first["state_dict"].items():
        torch.testing.assert_close(second["state_dict"][name], value, rtol=1e-6, atol=1e-9)


def test_a_job_that_was_stopped_goes_on(config: Path) -> None:  # noqa: F811
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
    config: Path,  # noqa: F811
) -> None:
    last = Path("run/checkpoints/last.ckpt").absolute()
    best = Job(("fit", "--config", str(config)), last, resume=True)()
    assert Path(best).exists() and last.exists()


def test_the_configuration_is_checked_before_submission(
    config: Path,  # noqa: F811
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
