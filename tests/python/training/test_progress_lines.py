"""The lines that a training prints where there is no terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from torchml.training import api
from torchml.training.callbacks import progress


def lines_of(text: str) -> dict[int, str]:
    """The lines by their epoch, without the time."""
    lines = [line for line in text.splitlines() if line.startswith("epoch ")]
    return {int(line.split("/")[0].split()[1]): line.rpartition("  ")[0] for line in lines}


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_line_repeats_no_validation(
    config: Path, capsys: pytest.CaptureFixture[str], every: int
) -> None:
    api.fit(config, trainer={"max_epochs": 7, "check_val_every_n_epoch": every})
    lines = lines_of(capsys.readouterr().out)
    assert list(lines) == [1, 2, 3, 4, 5, 6, 7]
    assert all("train/loss" in line for line in lines.values())
    validated = [epoch for epoch, line in lines.items() if "val/loss" in line]
    assert validated == [epoch for epoch in lines if epoch % every == 0]
    assert validated == [epoch for epoch, line in lines.items() if "forces_mae" in line]


def test_a_line_names_an_earlier_epoch(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINES", 2)
    api.fit(config, trainer={"max_epochs": 7, "check_val_every_n_epoch": 3})
    lines = lines_of(capsys.readouterr().out)
    assert list(lines) == [1, 4, 7]
    assert "val/" not in lines[1]
    assert "val/loss (epoch 3) " in lines[4] and "val/loss (epoch 6) " in lines[7]


def test_a_training_without_validation(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api.fit(config, trainer={"max_epochs": 2, "limit_val_batches": 0})
    lines = lines_of(capsys.readouterr().out)
    assert [re.sub(r"[\d.e+-]+$", "x", line) for line in lines.values()] == [
        "epoch 1/2  train/loss x",
        "epoch 2/2  train/loss x",
    ]
