"""Float types of a training."""

from __future__ import annotations

import torch

from torchml.errors import TorchMLError
from torchml.models.dtype import network_dtype

_SINGLE, _DOUBLE = ("None", "32", "32-true"), ("64", "64-true")


def check_precision(precision: int | str | None, model: torch.nn.Module) -> None:
    """Raise TorchMLError unless a network trains with this value of trainer.precision.

    A network computes in the float type that its argument `dtype` names, whatever the trainer
    does, because export and resuming build it again from its arguments. Half precision is no
    choice: forces are derivatives, and energies of cells need more than three digits.
    """
    dtype = network_dtype(model)
    if str(precision) in _SINGLE or (str(precision) in _DOUBLE and dtype == torch.float64):
        return
    if str(precision) in _DOUBLE:
        raise TorchMLError(
            f"trainer.precision is {precision}, but the network has dtype "
            f"{str(dtype).removeprefix('torch.')}: set the argument dtype of model.model to float64"
        )
    raise TorchMLError(
        f"trainer.precision is {precision}, expected 32-true or 64-true: forces are derivatives of "
        "the energy, which half precision is too coarse for; the argument dtype of model.model is "
        "float32 or float64"
    )
