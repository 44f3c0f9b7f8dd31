"""A task and its data, made ready for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchml.data.module import DataModule, Stage

if TYPE_CHECKING:
    from torchml.training.loop.task import Task


def prepare(task: Task, data: DataModule, stage: Stage) -> None:
    """Read and check the data, build their graphs and, for fit, set up the normalisation.

    Args:
        task: says which graphs and labels it needs.
        data: reads each file once, however often this is called.
        stage: fit, validate, test or predict.

    Raises:
        TorchMLError: with the file and the configuration, if labels or elements do not fit.
    """
    data.prepare_for(task, stage)
    if stage == "fit":
        task.normalize(data.configurations("train"))
        task.calibrate(data.dataset("train"))
