"""Learning rates over the steps of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, ReduceLROnPlateau

from torchml.errors import TorchMLError


@dataclass(frozen=True)
class Schedule:
    """A warm-up, then a scheduler of torch or one of the named schedules.

    Attributes:
        scheduler: makes a scheduler of torch; None for the one that `shape` names.
        shape: cosine falls to 0 over all steps of the run, constant does not change.
        interval: unit that `scheduler` counts, epoch or step.
        monitor: metric for schedulers that wait for an improvement.
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

    def _of_torch(self, scheduler: Any) -> dict[str, Any]:
        entry = {"scheduler": scheduler, "interval": self.interval, "name": "lr"}
        if isinstance(scheduler, ReduceLROnPlateau):
            # There is a new value to look at once an epoch.
            entry |= {"monitor": self.monitor, "interval": "epoch", "strict": False}
        return entry
