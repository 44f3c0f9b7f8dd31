"""Compiled parts of the benchmarks, built at the first use outside the repository."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchml.errors import TorchMLError

SOURCES = Path(__file__).resolve().parents[1]


def default_build_folder() -> Path:
    """Return the default folder of `--build`."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "torchml" / "benchmarks"


def build(target: str, folder: Path) -> Path:
    """Configure and build, fast if nothing changed; return the path of the program or library."""
    # The original algorithm is compiled with the same flags: those of torchml_target_defaults.
    _run(["cmake", "-S", str(SOURCES), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release"])
    _run(
        [
            "cmake",
            "--build",
            str(folder),
            "--target",
            target,
            "--parallel",
            str(os.cpu_count() or 1),
        ]
    )
    for name in (target, f"lib{target}.so"):
        if (folder / name).is_file():
            return folder / name
    raise TorchMLError(f"the build of {target} in {folder} left no program, expected one")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        errors = [line for line in lines if "error" in line.lower()] or lines
        raise TorchMLError(f"'{' '.join(command[:2])}' failed: {' / '.join(errors[:3])}")


def objects(command: list[str]) -> Iterator[dict[str, Any]]:
    """Run a program on one thread and return the JSON objects in the lines that it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as program:
        assert program.stdout is not None and program.stderr is not None
        for line in program.stdout:
            yield json.loads(line)
        message = program.stderr.read().strip()
    if program.returncode != 0:
        name, message = Path(command[0]).name, message or "no message"
        raise TorchMLError(f"{name} ended with {program.returncode}: {message}")
