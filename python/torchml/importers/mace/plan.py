"""A network of MACE as plain values, which one process hands to another.

A process that may run the pickle writes the plan: names of the parts of
`torchml.importers.mace.network`, tensors and numbers. Another process, which never imports MACE,
builds the network from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from torchml.importers.mace import network
from torchml.models.scaled import Scaled

_PART = "part"


def part(name: str) -> Callable[..., dict[str, Any]]:
    """The constructor of a part, which records its arguments instead of making the part.

    Args:
        name: of a class in `torchml.importers.mace.network`.
    """

    def record(*arguments: Any) -> dict[str, Any]:
        return {_PART: name, "arguments": [_plain(value) for value in arguments]}

    return record


def build(plan: dict[str, Any]) -> Scaled:
    """The potential of a plan, in float64.

    Args:
        plan: `network`, a recorded part; `references`, energies (eV) by symbol; `scale` (eV).
    """
    potential = Scaled(_built(plan["network"]))
    potential.set_normalization(plan["references"], plan["scale"])
    return potential


def _plain(value: Any) -> Any:
    """Values without a graph of derivatives; a view becomes a tensor of its own."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _built(value: Any) -> Any:
    if isinstance(value, list):
        return [_built(one) for one in value]
    if isinstance(value, dict):
        return getattr(network, value[_PART])(*_built(value["arguments"]))
    return value
