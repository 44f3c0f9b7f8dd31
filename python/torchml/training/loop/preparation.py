"""A task and its data, made ready for each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torchml.data.configuration import Configuration
from torchml.data.dataset import GraphDataset
from torchml.data.module import DataModule, Stage
from torchml.data.needs import DataNeeds


class Preparable(DataNeeds, Protocol):
    """A task, as far as it is set up from the training data."""

    def normalize(self, configurations: Sequence[Configuration]) -> None:
        """Set reference energies and scale."""

    def calibrate(self, data: GraphDataset) -> None:
        """Let the network adapt its own scales."""

    @property
    def replay_shifts(self) -> Mapping[str, float] | None:
        """Energies (eV) by symbol to add to the labels of old data; None if they do not train."""


def prepare(task: Preparable, data: DataModule, stage: Stage) -> None:
    """Read and check the data, build their graphs and, for fit, set up the normalisation.

    Args:
        task: its graphs and labels are prepared.
        data: reads each file once, however often this is called.
        stage: fit, validate, test or predict.

    Raises:
        TorchMLError: with the file and the configuration, if labels or elements do not fit.
    """
    data.prepare_for(task, stage)
    if stage == "fit":
        task.normalize(data.configurations("train"))
        task.calibrate(data.dataset("train"))
        data.add_replay(task.replay_shifts, task.labels)
