"""The folders of a run, as OCP names them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

CHECKPOINT = "checkpoint.pt"
BEST = "best_checkpoint.pt"
PREDICTIONS = "predictions.json"


@dataclass(frozen=True)
class Folders:
    """run_dir/checkpoints/NAME, run_dir/logs/tensorboard/NAME and run_dir/results/NAME.

    Attributes:
        run_dir: parent of all.
        name: time of the start and identifier.
    """

    run_dir: Path
    name: str

    @property
    def checkpoints(self) -> Path:
        """The folder of the training; checkpoint.pt and best_checkpoint.pt are in it."""
        return self.run_dir / "checkpoints" / self.name

    @property
    def results(self) -> Path:
        """Predictions and relaxed positions."""
        return self.run_dir / "results" / self.name

    @property
    def logs(self) -> Path:
        """Parent of the logs of all runs."""
        return self.run_dir / "logs"

    def link(self, latest: bool) -> None:
        """Give the checkpoints of the training OCP's names, also before they are written.

        Args:
            latest: checkpoint.pt is the last checkpoint, as in 2024, and not the best one, as in
                2021.
        """
        names = {CHECKPOINT: "last" if latest else "best", BEST: "best"}
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        for name, ours in names.items():
            target = Path("checkpoints") / f"{ours}.ckpt"
            link = self.checkpoints / name
            new = link.with_name(f".{name}.new")
            new.unlink(missing_ok=True)
            new.symlink_to(target)
            new.replace(link)

    def link_predictions(self) -> bool:
        """Let run_dir/predictions.json, OCP's place of 2020, mean the predictions of this run.

        Returns:
            False if a file of this name is there that is no link; it stays as it is.
        """
        link = self.run_dir / PREDICTIONS
        if link.exists() and not link.is_symlink():
            return False
        new = link.with_name(f".{PREDICTIONS}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(Path("results") / self.name / PREDICTIONS)
        new.replace(link)
        return True

    def unlink(self) -> None:
        """Remove what `link` made, if no training has begun."""
        if self.checkpoints.is_dir() and not (self.checkpoints / "checkpoints").exists():
            for name in (CHECKPOINT, BEST):
                (self.checkpoints / name).unlink(missing_ok=True)
            if not any(self.checkpoints.iterdir()):
                self.checkpoints.rmdir()

    def complete(self) -> None:
        """Let names of a best checkpoint that no validation has chosen mean the last one."""
        for name in (CHECKPOINT, BEST):
            link = self.checkpoints / name
            if not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(Path("checkpoints") / "last.ckpt")


def new_folders(run_dir: Path, identifier: str) -> Folders:
    """Return the folders of a new run; of runs that start in one second, the later waits.

    Args:
        run_dir: parent of the folders.
        identifier: added to the time.
    """
    while True:
        folders = Folders(run_dir, time.strftime("%Y-%m-%d-%H-%M-%S") + _ending(identifier))
        if not (folders.checkpoints.exists() or folders.results.exists()):
            return folders
        time.sleep(0.1)


def _ending(identifier: str) -> str:
    return f"-{identifier}" if identifier else ""
