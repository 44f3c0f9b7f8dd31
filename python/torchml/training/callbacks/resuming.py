"""Changed settings of a resumed training win over the state in its checkpoint."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from torchml.training.callbacks.averaging import AverageWeights
from torchml.training.loop.schedule import advance
from torchml.training.resume import KEY, Resumption

# Keys of settings that change the learning rate.
_RATES = r"model\.(optimizer|scheduler|schedule|scheduler_interval|warmup_steps|monitor)\b"

_PLATEAU = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")


class Resuming(Callback):
    """Write the configuration into checkpoints, and resume with changed settings.

    Optimisers and schedulers continue from their stored state. Where a setting of them differs, or
    the number of steps over which the rate falls, they continue as if the run had had the new
    settings from its start. Moments of the gradients are kept as long as the optimiser has them.

    Attributes:
        configuration: of this run, as config.yaml contains it.
        resumption: the checkpoint from which the run resumes; None if it begins.
    """

    def __init__(self) -> None:
        self.configuration: dict[str, Any] = {}
        self.resumption: Resumption | None = None
        self._schedulers: list[dict[str, Any]] | None = None

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[KEY] = self.configuration

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep what Lightning would restore otherwise."""
        if self.resumption is None:
            return
        self._schedulers = checkpoint["lr_schedulers"]
        checkpoint["lr_schedulers"] = []
        if self._optimizer_changed(pl_module, checkpoint["optimizer_states"]):
            checkpoint["optimizer_states"] = []
        averages = any(isinstance(one, AverageWeights) for one in trainer.callbacks)  # type: ignore[attr-defined]
        if not averages and "current_model_state" in checkpoint:
            pl_module.load_state_dict(checkpoint["current_model_state"])

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        if self._schedulers is None:
            return
        assert self.resumption is not None
        saved, self._schedulers = self._schedulers, None
        total = self._total_steps(trainer)
        (optimizer,), entries = pl_module.optimizer_and_schedules(lambda: total)
        fresh = [entry["scheduler"] for entry in entries]
        running = [config.scheduler for config in trainer.lr_scheduler_configs]
        if not self.resumption.changed(_RATES) and _fits(fresh, saved):
            for scheduler, state in zip(running, saved, strict=True):
                scheduler.load_state_dict(state)
            return
        advance(entries, self.resumption.steps, self.resumption.epochs)
        keeps_rate = self._continue_plateau(fresh, saved)
        for group, new in zip(
            trainer.optimizers[0].param_groups, optimizer.param_groups, strict=True
        ):
            kept = ("params", "lr") if keeps_rate else ("params",)
            group.update({key: value for key, value in new.items() if key not in kept})
        for scheduler, new in zip(running, fresh, strict=True):
            scheduler.load_state_dict(new.state_dict())

    def _optimizer_changed(self, pl_module: Any, states: list[dict[str, Any]]) -> bool:
        """Whether the stored state is not that of the optimiser."""
        assert self.resumption is not None
        if not self.resumption.changed(r"model\.optimizer\b"):
            return False
        if any(change.key == "model.optimizer" for change in self.resumption.changes):
            return True
        stored: dict[str, Any] = next(iter(states[0]["state"].values()), {})
        return not _state_keys(pl_module.optimizer) <= set(stored)

    def _total_steps(self, trainer: L.Trainer) -> float:
        """Steps of the whole run: those that were taken, and those that remain."""
        assert self.resumption is not None
        total, epochs = trainer.estimated_stepping_batches, trainer.max_epochs or -1
        if self.resumption.in_epoch or epochs < 0:
            return total
        in_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        steps = self.resumption.steps + (epochs - self.resumption.epochs) * in_epoch
        return steps if trainer.max_steps < 0 else min(steps, trainer.max_steps)

    def _continue_plateau(self, fresh: list[Any], saved: list[dict[str, Any]]) -> bool:
        """Continue to wait where the old scheduler waited; whether its rate is kept too."""
        assert self.resumption is not None
        if not (fresh and saved and isinstance(fresh[-1], ReduceLROnPlateau)):
            return False
        state = saved[-1]
        if not all(key in state for key in _PLATEAU):
            return False
        if fresh[-1].mode == state["mode"] and not self.resumption.changed(r"model\.monitor\b"):
            fresh[-1].__dict__.update({key: state[key] for key in _PLATEAU})
        return not self.resumption.changed(r"model\.optimizer(\.lr)?$")


def _fits(schedulers: list[Any], states: list[dict[str, Any]]) -> bool:
    """Whether states are of as many schedulers, and a cosine of as many steps."""
    return len(schedulers) == len(states) and all(
        not isinstance(scheduler, CosineAnnealingLR) or scheduler.T_max == state.get("T_max")
        for scheduler, state in zip(schedulers, states, strict=True)
    )


def _state_keys(make: Any) -> set[str]:
    """What an optimiser keeps for a parameter."""
    probe = torch.nn.Parameter(torch.zeros(1))
    optimizer: Optimizer = make([probe])
    probe.grad = torch.zeros(1)
    optimizer.step(lambda: 0.0)
    return {key for key, value in optimizer.state[probe].items() if value is not None}
