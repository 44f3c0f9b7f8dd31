"""Learning rates over the steps of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, ReduceLROnPlateau

from torchml.errors import TorchMLError

if TYPE_CHECKING:
    from torchml.training.loop.task import Task


def schedulers(task: Task, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Lightning's description of the schedulers of a task.

    The warm-up multiplies what the main scheduler says, step by step.
    """
    found: list[dict[str, Any]] = []
    if task.warmup_steps > 0:
        warmup = LinearLR(optimizer, 1 / (task.warmup_steps + 1), total_iters=task.warmup_steps)
        found.append({"scheduler": warmup, "interval": "step", "name": "warmup"})
    if task.scheduler is not None:
        main = task.scheduler(optimizer)
        entry: dict[str, Any] = {
            "scheduler": main,
            "interval": task.scheduler_interval,
            "name": "lr",
        }
        if isinstance(main, ReduceLROnPlateau):
            # Improvements are looked for when there is something new to look at.
            entry |= {"monitor": task.monitor, "interval": "epoch", "strict": False}
        found.append(entry)
    elif task.schedule == "cosine":
        steps = task.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise TorchMLError(
                "model.schedule is cosine, but the run has no end: set trainer.max_epochs or "
                "trainer.max_steps, or model.schedule to constant"
            )
        cosine = CosineAnnealingLR(optimizer, T_max=max(int(steps), 1))
        found.append({"scheduler": cosine, "interval": "step", "name": "lr"})
    return found
