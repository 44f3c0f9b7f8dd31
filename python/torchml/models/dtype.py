"""The float type in which a network computes."""

from __future__ import annotations

import torch

from torchml.models.scaled import Scaled
from torchml.models.staged import StagedModel


def network_dtype(model: torch.nn.Module) -> torch.dtype | None:
    """Return the float type of the network inside Scaled or StagedModel; None without floats."""
    network = model.network if isinstance(model, Scaled | StagedModel) else model
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return None
