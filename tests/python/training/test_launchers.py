"""Ranks of launchers, from their variables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from torchml.training import launchers

HOST = Path(__file__).parents[3] / "driver" / "core" / "host"


def test_the_engine_reads_the_same_variables() -> None:
    """Both read the number of ranks of a job; Slurm's is Lightning's here."""
    source = "".join(path.read_text() for path in HOST.glob("*.cpp"))
    names = set(re.findall(r'"([A-Z0-9_]+_SIZE)"', source))
    engine = {name for name in names if "LOCAL" not in name}
    assert {"OMPI_COMM_WORLD_SIZE", "PALS_SIZE"} <= engine <= set(launchers.MPI_SIZES)


def test_without_a_launcher_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*launchers.MPI_SIZES, "TORCHELASTIC_RUN_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    assert launchers.launched_ranks() is None


def test_ranks_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert launchers.launched_ranks() == launchers.Ranks(per_node=4, nodes=2)
