"""Potentials that are trained for the comparison."""

from __future__ import annotations

import json
from pathlib import Path

from common.clock import cpu_minutes
from common.reports import write_json

from torchml.training.cli import run

MINUTES = "frontier_minutes.json"  # written last: the training in this folder is complete


def train(config: Path, data: Path, folder: Path) -> tuple[Path, float]:
    """Return the best checkpoint and the minutes of CPU time of its training.

    A folder that has both is not trained again.

    Args:
        config: YAML of a training, which names no data.
        data: the training set.
        folder: of the run.
    """
    done = folder / MINUTES
    if not done.is_file():
        begin = cpu_minutes()
        words = ["--config", str(config), "--data.train", str(data), "--overwrite", "true"]
        best = run(["fit", *words, "--trainer.default_root_dir", str(folder)]).best
        minutes = cpu_minutes() - begin
        write_json({"checkpoint": str(best.resolve()), "minutes": minutes}, done)
    record = json.loads(done.read_text())
    return Path(record["checkpoint"]), record["minutes"]
