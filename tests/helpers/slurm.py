"""Slurm's commands where there is no Slurm: what a job asks for is kept in a file."""

from __future__ import annotations

from pathlib import Path

import pytest


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an sbatch first on the PATH that only keeps what it is given, as `folder`/job.sh."""
    programs = folder / "bin"
    programs.mkdir()
    for name, text in (
        ("sbatch", f'#!/bin/sh\ncp "$1" {folder}/job.sh\necho "Submitted batch job 77"\n'),
        ("srun", "#!/bin/sh\n"),
        ("squeue", "#!/bin/sh\n"),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
