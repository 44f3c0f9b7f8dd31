"""The optimiser, its learning rate, and what else happens at steps: averages and checkpoints."""

from __future__ import annotations

from typing import Any

import torch

from torchml.compat.arguments import check_arguments
from torchml.compat.ocp import versions
from torchml.compat.ocp.given import Given
from torchml.errors import TorchMLError

_FEW = 100  # OCP of 2024 takes milestones below this for epochs


def optimizer(given: Given) -> dict[str, Any]:
    """Return optimiser and scheduler of a task.

    Raises:
        TorchMLError: torch has no such class, or a key of the schedule is missing.
    """
    optim = given.config.optim
    arguments = {"lr": optim.lr_initial, **optim.optimizer_params}
    if optim.weight_decay is not None:
        arguments["weight_decay"] = optim.weight_decay
    class_path = _class_path(torch.optim, optim.optimizer, "optim.optimizer")
    check_arguments(getattr(torch.optim, optim.optimizer), arguments, "optim.optimizer_params")
    made: dict[str, Any] = {
        "optimizer": {"class_path": class_path, "init_args": arguments},
        "schedule": "constant",
    }
    if optim.scheduler == "Null":
        return made
    if optim.scheduler in (None, "LambdaLR"):
        return made | _milestones(given)
    path = _class_path(torch.optim.lr_scheduler, optim.scheduler, "optim.scheduler")
    kind = getattr(torch.optim.lr_scheduler, optim.scheduler)
    check_arguments(kind, optim.scheduler_arguments, "optim")
    scheduler = {
        "class_path": path,
        "init_args": dict(optim.scheduler_arguments),
    }
    if optim.of_other_schedulers:
        given.notes.append(
            f"optim.{', '.join(optim.of_other_schedulers)}: no argument of {optim.scheduler}, not "
            "used, as in OCP"
        )
    return made | {
        "scheduler": scheduler,
        "scheduler_interval": "step",
        "monitor": _monitor(given)[0],
    }


def averaging(given: Given) -> dict[str, Any] | None:
    """Return the average of the weights; None for none."""
    decay = given.config.optim.ema_decay
    return {"decay": decay, "warm_up": False} if decay else None


def checkpoints(given: Given) -> dict[str, Any]:
    """Return which checkpoints are kept."""
    metric, mode = _monitor(given)
    made: dict[str, Any] = {"monitor": metric, "mode": mode}
    every = given.config.optim.checkpoint_every
    if every is None and given.version.name == "2024":
        every = eval_every(given)
    if every is not None and every > 0:
        made["last_every_n_steps"] = every
    return made


def eval_every(given: Given) -> int | None:
    """Return the steps between validations; None for one after each epoch."""
    every = given.config.optim.eval_every
    if every is None or every == -1 or (given.kind == "is2re" and given.version.name == "2021"):
        return None
    if every == 0:
        raise TorchMLError("optim.eval_every is 0, expected a number of steps, or -1")
    return abs(every)  # files of 2021 have -10000, which OCP's code takes for 10000


def _milestones(given: Given) -> dict[str, Any]:
    """OCP's own schedule, whose counts are epochs in 2021 and steps in 2024."""
    optim, version, unit = given.config.optim, given.version.name, given.version.schedule_unit
    warmup, other = f"warmup_{unit}s", "warmup_steps" if unit == "epoch" else "warmup_epochs"
    if getattr(optim, other) is not None:
        raise TorchMLError(
            f"optim.{other} is not read by OCP of {version}, expected {warmup} and lr_milestones "
            f"in {unit}s, or another --version-of-ocp"
        )
    rise = getattr(optim, warmup)
    without = rise is not None and rise < 0  # in files of OCP, no warm-up
    keys = (warmup, *(() if without else ("warmup_factor",)), "lr_milestones", "lr_gamma")
    if missing := [key for key in keys if getattr(optim, key) is None]:
        raise TorchMLError(
            f"optim lacks {' and '.join(missing)}, expected a value, or scheduler: 'Null' for a "
            "constant learning rate"
        )
    milestones = optim.lr_milestones or []
    if unit == "step" and any(count < _FEW for count in milestones):
        raise TorchMLError(
            f"optim.lr_milestones are {milestones}, but OCP of {version} counts steps and refuses "
            f"numbers below {_FEW}; expected steps, or --version-of-ocp 2021 for epochs"
        )
    arguments = {
        "warmup": 0 if without else rise,
        "factor": 1.0 if without else optim.warmup_factor,
        "milestones": milestones,
        "gamma": optim.lr_gamma,
    }
    return {
        "scheduler": {
            "class_path": "torchml.compat.ocp.WarmupMilestones",
            "init_args": arguments,
        },
        "scheduler_interval": "step" if optim.update_lr_on_step else unit,
    }


def _monitor(given: Given) -> tuple[str, str]:
    """The metric that chooses the best checkpoint, and whether small or large values are good."""
    config = given.config
    if config.dataset.val is None or config.dataset.val.src is None:
        return "val/loss", "min"  # the loss of the training takes its place
    primary = config.evaluation_metrics.primary_metric or config.task.primary_metric
    if primary is None and not given.learns_forces:
        primary = "energy_mae"
    return versions.monitor(given.version, given.kind, primary)


def _class_path(module: Any, name: str, place: str) -> str:
    if not isinstance(getattr(module, name, None), type):
        raise TorchMLError(f"{place} is '{name}', expected a class of {module.__name__}")
    return f"{module.__name__}.{name}"
