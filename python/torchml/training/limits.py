"""Arguments of the trainer that choose batches, checked before anything is replaced."""

from __future__ import annotations

import lightning.pytorch as L

from torchml.data.module import DataModule, Part, Stage
from torchml.errors import TorchMLError

_PART: dict[Stage, Part] = {
    "fit": "train",
    "validate": "val",
    "test": "test",
    "predict": "predict",
}


def check_limits(trainer: L.Trainer, data: DataModule, stage: Stage) -> None:
    """Raise TorchMLError if the trainer would take no batch, or none of the validation in time.

    Args:
        trainer: its limits are checked.
        data: prepared for the stage.
        stage: fit, validate, test or predict.
    """
    part = _PART[stage]
    count = data.count_batches(part, trainer.world_size)
    name, limit = _limit(trainer, part)
    batches = min(limit, count) if isinstance(limit, int) else int(limit * count)
    if batches < 1:
        raise TorchMLError(
            f"trainer.{name} is {limit}, which is no batch of the {count} of data.{part}, "
            "expected at least one"
        )
    if stage != "fit":
        return
    if trainer.accumulate_grad_batches < 1:
        raise TorchMLError(
            f"trainer.accumulate_grad_batches is {trainer.accumulate_grad_batches}, expected at "
            "least 1"
        )
    if not len(data.configurations("val")):
        return
    validated = data.count_batches("val", trainer.world_size)
    name, limit = _limit(trainer, "val")
    if isinstance(limit, float) and limit > 0 and int(limit * validated) < 1:
        raise TorchMLError(
            f"trainer.{name} is {limit}, which is no batch of the {validated} of data.val, "
            "expected at least one, or 0 for no validation"
        )
    every = trainer.val_check_interval
    in_epoch = isinstance(every, int) and trainer.check_val_every_n_epoch is not None
    if in_epoch and every > batches and limit != 0:
        raise TorchMLError(
            f"trainer.val_check_interval is {every}, but an epoch has {batches} batches, expected "
            "at most that, or trainer.check_val_every_n_epoch: null to count over epochs"
        )


def _limit(trainer: L.Trainer, part: Part) -> tuple[str, int | float]:
    """The name and the value of the argument that limits the batches of a part."""
    repeated: int | float = trainer.overfit_batches  # type: ignore[attr-defined]
    if part == "train" and repeated > 0:
        return "overfit_batches", repeated
    name = f"limit_{part}_batches"
    return name, getattr(trainer, name)
