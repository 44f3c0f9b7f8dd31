"""The graph that `graph_of` wrote, as a module of torch.fx."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from .graph import INPUTS


def replayed(graph: dict[str, Any]) -> fx.GraphModule:
    """Build the module, which TorchScript can compile too.

    Args:
        graph: of `graph_of`.

    Returns:
        A function of the tensors that `INPUTS` names; its constants are buffers.
    """
    root = torch.nn.Module()
    made = fx.Graph()
    nodes = [made.placeholder(name, type_expr=torch.Tensor) for name in INPUTS]
    for k, tensor in enumerate(graph["tensors"]):
        root.register_buffer(f"tensor_{k}", tensor)
    constants: dict[int, fx.Node] = {}
    device: list[fx.Node] = []

    def value(one: Any) -> Any:
        if isinstance(one, list):
            return [value(item) for item in one]
        if not isinstance(one, dict):
            return one
        ((kind, what),) = one.items()
        if kind == "node":
            return nodes[what]
        if kind == "tensor":
            if what not in constants:
                constants[what] = made.get_attr(f"tensor_{what}")
            return constants[what]
        if kind == "device":
            if not device:
                device.append(made.call_function(getattr, (nodes[1], "device")))
            return device[0]
        return getattr(torch, what)  # a type, or a memory format

    for name, arguments, keywords in graph["nodes"]:
        plain = tuple(value(one) for one in arguments)
        nodes.append(_call(made, name, plain, {k: value(v) for k, v in keywords.items()}))
    made.output(value(graph["output"]))
    return fx.GraphModule(root, made, "TracedEnergies")


def _call(
    graph: fx.Graph, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> fx.Node:
    """One operation, in the form that Python and TorchScript share: without its overload."""
    if "." not in name:
        return graph.call_function(getattr(operator, name), arguments, keywords)
    operation = name.split(".")[1]
    if operation == "sym_size":
        return graph.call_method("size", arguments)
    if operation == "sym_numel":
        return graph.call_method("numel", arguments)
    return graph.call_function(getattr(torch.ops.aten, operation), arguments, keywords)
