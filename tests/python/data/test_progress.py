"""Progress bars: for those who wait, and for nobody else."""

from __future__ import annotations

import pytest

from helpers.labelled import configurations
from torchml.data import progress, read, write_extxyz
from torchml.data.progress import Progress, track


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "PATIENCE", -1.0)


def test_what_takes_long_is_shown(terminal, capsys):
    write_extxyz(configurations(), "a.xyz")
    assert len(read("a.xyz")) == 3
    shown = capsys.readouterr()
    assert "reading a.xyz" in shown.err and not shown.out


def test_only_one_bar_is_shown_at_a_time(terminal, capsys):
    for _ in track(range(2), "outer", 2):
        assert list(track(range(3), "inner", 3)) == [0, 1, 2]
    shown = capsys.readouterr().err
    assert "inner" in shown or "outer" in shown
    assert Progress._shown is None


def test_other_ranks_and_files_are_spared(terminal, capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert list(track("ab", "silent", 2)) == ["a", "b"]
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.delenv("FORCE_COLOR")
    assert list(track("ab", "silent", 2)) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_what_is_quick_stays_silent(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(track("ab", "quick", 2)) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_errors_end_the_bar(terminal):
    with pytest.raises(ValueError), Progress("failing", None) as bar:
        bar.advance()
        assert Progress._shown is not None
        raise ValueError
    assert Progress._shown is None
