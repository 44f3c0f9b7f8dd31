"""A network of torchml as plain values, which one process hands to another.

The process that may read a pickle writes the plan: names of classes, tensors and numbers. Another
process, which never imports the package, makes the network (`torchml.importers.networks.plan`).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

Part = dict[str, Any]


def part(name: str, *arguments: Any, **named: Any) -> Part:
    """A part of a network, as its name and arguments.

    Args:
        name: of a class that the family's module in `torchml.importers.networks` knows.
        arguments: of its constructor: parts, plain values, tensors, or lists of these.
        named: the same by name.
    """
    return {
        "part": name,
        "arguments": [_plain(value) for value in arguments],
        "named": {key: _plain(value) for key, value in named.items()},
    }


def _plain(value: Any) -> Any:
    """Values without a graph of derivatives; a view becomes a tensor of its own."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
