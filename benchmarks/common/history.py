"""Files with the results of all runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from common.programs import SOURCES
from common.reports import machine, write_json
from torchml import TorchMLError


def append(record: dict[str, Any], path: Path) -> None:
    """Add a run, with machine, date and commit, to the list `runs` in the file."""
    runs = read(path)
    runs.append({"machine": machine(), "commit": commit(), **record})
    write_json({"runs": runs}, path)


def read(path: Path) -> list[dict[str, Any]]:
    """Return all runs so far; a file with other content raises TorchMLError."""
    if not path.exists():
        return []
    try:
        runs = json.loads(path.read_text())["runs"]
    except (json.JSONDecodeError, KeyError, TypeError):
        runs = None
    if not isinstance(runs, list):
        raise TorchMLError(f"{path} is no history of runs, expected JSON with a list 'runs'")
    return runs


def commit() -> str:
    """Return the commit of the repository, with `+` if files differ; `unknown` outside of one."""
    done = subprocess.run(
        ["git", "-C", str(SOURCES), "describe", "--always", "--dirty=+", "--abbrev=10"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else "unknown"
