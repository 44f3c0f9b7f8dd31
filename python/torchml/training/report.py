"""The lines and tables that a command prints at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from rich.console import Console

from torchml.data.notices import notify
from torchml.evaluation.metrics_table import groups_table, metrics_table
from torchml.training.callbacks.parity import metrics_of
from torchml.training.loop.init_from import InitFrom
from torchml.training.loop.task import Task
from torchml.training.start import idle_lines, start_lines
from torchml.training.trainer import Collectors


def print_report(command: str, trainer: L.Trainer, results: Collectors, best: Path | None) -> None:
    """Print the errors and the files of a run, on the first rank only.

    Args:
        command: fit, validate, test or predict.
        trainer: has the metrics that were logged last.
        results: has the other metrics.
        best: the checkpoint that a training left, if any.
    """
    if not trainer.is_global_zero:
        return
    # Names of files and groups are no markup of rich's.
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    for part in _parts(command, trainer, results, best):
        console.print(part)


def print_start(task: Task, rule: InitFrom) -> None:
    """Print from which potential a training starts, and what it may change."""
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    for line in start_lines(task, rule):
        console.print(line)
    for line in idle_lines(task, rule):
        notify(line)


def _parts(
    command: str, trainer: L.Trainer, results: Collectors, best: Path | None
) -> Iterator[Any]:
    if command == "fit":
        if results.plots is not None and results.plots.best is not None:
            _, metrics, title = results.plots.best
            yield metrics_table(f"best {title}", metrics)
        if best is not None:
            yield f"The model is in {best}; plots, logs and config.yaml are beside it."
            yield f"To LAMMPS: python -m torchml_export {best} --install user"
    elif results.predictions is not None:
        if results.predictions.metrics:
            yield metrics_table("against the labels", results.predictions.metrics)
        yield f"Predictions are in {results.predictions.path}"
    else:
        stage, title = ("val", "validation") if command == "validate" else ("test", "test")
        yield metrics_table(title, metrics_of(trainer, stage))
        if results.groups is not None and results.groups.table:
            yield groups_table("by group", results.groups.table)
