"""The section `trainer` of torchml: epochs, device, processes, folders, logs."""

from __future__ import annotations

from typing import Any

import torch

from torchml.compat.ocp.given import Given
from torchml.compat.ocp.optimization import eval_every


def trainer(given: Given) -> dict[str, Any]:
    """Return the arguments of Lightning's Trainer."""
    flags, optim = given.flags, given.config.optim
    made: dict[str, Any] = {
        "max_epochs": optim.max_epochs,
        "accelerator": "cpu" if flags.cpu else "auto",
        "devices": flags.ranks,
        "num_nodes": flags.num_nodes,
        "strategy": _strategy(given),
        "default_root_dir": str(given.folders.checkpoints),
        "gradient_clip_val": optim.clip_grad_norm,
        "log_every_n_steps": flags.print_every,
        "logger": _loggers(given),
    }
    if given.config.task.set_deterministic_scatter:
        made["deterministic"] = True
    if (every := eval_every(given)) is not None:
        made |= {"val_check_interval": every, "check_val_every_n_epoch": None}
    if optim.num_gpus not in (None, flags.ranks):
        given.notes.append(
            f"optim.num_gpus {optim.num_gpus}: one process uses one device; --distributed "
            f"--num-gpus {optim.num_gpus} starts several"
        )
    if flags.amp:
        given.notes.append("--amp: float32 is used, as half precision is too coarse for forces")
    return made


def _strategy(given: Given) -> Any:
    flags = given.flags
    if flags.all_ranks == 1:
        return "auto"
    backend = flags.distributed_backend
    if backend == "nccl" and (flags.cpu or not torch.cuda.is_available()):
        backend = "gloo"
    return {
        "class_path": "lightning.pytorch.strategies.DDPStrategy",
        "init_args": {"process_group_backend": backend},
    }


def _loggers(given: Given) -> Any:
    logger, folders = given.config.logger, given.folders
    name = logger.get("name") if isinstance(logger, dict) else logger
    if name not in (None, "tensorboard"):
        given.notes.append(f"logger {name}: TensorBoard is used")
    if given.flags.debug:
        return False
    arguments = {
        "TensorBoardLogger": {
            "save_dir": str(folders.logs),
            "name": "tensorboard",
            "version": folders.name,
        },
        "CSVLogger": {"save_dir": str(folders.checkpoints / "logs"), "name": "csv"},
    }
    return [
        {"class_path": f"lightning.pytorch.loggers.{kind}", "init_args": values}
        for kind, values in arguments.items()
    ]
