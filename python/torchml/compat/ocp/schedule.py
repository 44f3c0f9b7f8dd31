"""OCP's schedule of the learning rate."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from torchml.errors import TorchMLError


class WarmupMilestones(LRScheduler):
    """A linear rise, then a factor at each milestone.

    At the count n the learning rate is multiplied by `factor` + (1 - `factor`) n / `warmup` as long
    as n <= `warmup`, then by `gamma` to the power of the number of milestones up to n. Counts are
    epochs or steps, as the scheduler is called.

    Args:
        optimizer: its learning rate is changed.
        warmup: count at which the learning rate has its full value.
        factor: of the learning rate at the start.
        milestones: increasing counts.
        gamma: factor at each milestone.
        last_epoch: count at which to continue; -1 to start.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup: int,
        factor: float,
        milestones: Sequence[int],
        gamma: float,
        last_epoch: int = -1,
    ) -> None:
        if warmup < 0 or list(milestones) != sorted(milestones):
            raise TorchMLError(
                f"the warm-up is {warmup} and the milestones are {list(milestones)}, expected 0 or "
                "more, and increasing numbers"
            )
        self.warmup = warmup
        self.factor = factor
        self.milestones = list(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def multiplier(self, count: int) -> float:
        """Return the factor of the learning rate at a count."""
        if count <= self.warmup:
            done = count / self.warmup if self.warmup else 1.0
            return self.factor * (1.0 - done) + done
        return float(self.gamma ** bisect(self.milestones, count))

    def get_lr(self) -> list[float | Tensor]:
        return [rate * self.multiplier(self.last_epoch) for rate in self.base_lrs]
