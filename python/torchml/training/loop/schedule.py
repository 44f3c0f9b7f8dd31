"""Learning rates over the steps of a run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, ReduceLROnPlateau

from torchml.errors import TorchMLError


@dataclass(frozen=True)
class Schedule:
    """A warm-up, then a scheduler of torch or one of the named schedules.

    Attributes:
        scheduler: makes a scheduler of torch; None for the one that `shape` names.
        shape: cosine falls to 0 over all steps of the run, constant does not change.
        interval: unit that `scheduler` counts, epoch or step.
        monitor: metric for ReduceLROnPlateau; without validations, the training loss.
        warmup_steps: steps in which the learning rate rises to its value.
    """

    scheduler: Callable[[Optimizer], Any] | None
    shape: Literal["cosine", "constant"]
    interval: Literal["epoch", "step"]
    monitor: str
    warmup_steps: int

    def entries(
        self, optimizer: Optimizer, total_steps: Callable[[], float]
    ) -> list[dict[str, Any]]:
        """Return Lightning's description of the schedulers.

        The warm-up multiplies the learning rate of the main scheduler, step by step.

        Args:
            optimizer: its learning rate is changed.
            total_steps: returns the number of steps of the whole run; only cosine asks for it.

        Raises:
            TorchMLError: for cosine, if the run has no end.
        """
        entries: list[dict[str, Any]] = []
        if self.warmup_steps > 0:
            factor = 1 / (self.warmup_steps + 1)
            warmup = LinearLR(optimizer, factor, total_iters=self.warmup_steps)
            entries.append({"scheduler": warmup, "interval": "step", "name": "warmup"})
        if self.scheduler is not None:
            entries.append(self._of_torch(self.scheduler(optimizer)))
        elif self.shape == "cosine":
            steps = total_steps()
            if steps == float("inf"):
                raise TorchMLError(
                    "model.schedule is cosine, but the run has no end: set trainer.max_epochs or "
                    "trainer.max_steps, or model.schedule to constant"
                )
            cosine = CosineAnnealingLR(optimizer, T_max=max(int(steps), 1))
            entries.append({"scheduler": cosine, "interval": "step", "name": "lr"})
        return entries

    @property
    def waits_for(self) -> str | None:
        """The metric that the scheduler waits for; None if it waits for none.

        Raises:
            TorchMLError: an argument of the scheduler is wrong.
        """
        if self.scheduler is None:
            return None
        probe = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
        try:
            scheduler = self.scheduler(probe)
        except (TypeError, ValueError) as error:
            raise TorchMLError(f"model.scheduler: {error}") from error
        return self.monitor if isinstance(scheduler, ReduceLROnPlateau) else None

    def _of_torch(self, scheduler: Any) -> dict[str, Any]:
        entry = {"scheduler": scheduler, "interval": self.interval, "name": "lr"}
        if isinstance(scheduler, ReduceLROnPlateau):
            # Lightning would repeat old values in epochs without validation: the callback
            # StepPlateau takes the steps, Lightning none.
            entry |= {"monitor": self.monitor, "interval": "epoch", "frequency": sys.maxsize}
        return entry


def advance(entries: Sequence[dict[str, Any]], steps: int, epochs: int) -> None:
    """Bring new schedulers to a place in a run, as if they had been there from the start.

    Schedulers that wait for a metric stay where they are.

    Args:
        entries: what `Schedule.entries` returned.
        steps: number of steps that were taken.
        epochs: number of epochs in which they were taken.

    Raises:
        TorchMLError: a scheduler ends before.
    """
    of = {
        interval: [
            entry["scheduler"]
            for entry in entries
            if entry["interval"] == interval
            and not isinstance(entry["scheduler"], ReduceLROnPlateau)
        ]
        for interval in ("step", "epoch")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimiser takes no steps here
        try:
            for epoch in range(max(epochs, 1)):
                # In the order of the training: the factors of all schedulers multiply.
                first, last = (n * steps // max(epochs, 1) for n in (epoch, epoch + 1))
                for scheduler in (last - first) * of["step"]:
                    scheduler.step()
                for scheduler in of["epoch"] if epoch < epochs else ():
                    scheduler.step()
        except ValueError as error:
            raise TorchMLError(f"model.scheduler ends before step {steps}: {error}") from error
