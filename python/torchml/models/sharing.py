"""What the members of a committee compute alike is computed once.

Distances, their expansions and the order of edges are the same for networks of one kind, however
different their weights. TorchScript's elimination of common subexpressions finds them once the
members' equal constants are one value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def compute_once(module: Any, methods: tuple[str, ...]) -> None:
    """Rewrite methods in place so that equal operations on equal values are one.

    Args:
        module: TorchScript; its weights do not change any more.
        methods: to rewrite.
    """
    for name in methods:
        graph = module._c._get_method(name).graph
        torch._C._jit_pass_inline(graph)
        _unite_attributes(module, graph)
        torch._C._jit_pass_cse(graph)
        torch._C._jit_pass_dce(graph)
        torch._C._jit_pass_lint(graph)


def _unite_attributes(module: Any, graph: Any) -> None:
    """Read equal attributes from the first place that holds them."""
    owners = {next(iter(graph.inputs())).debugName(): module}
    first: list[tuple[Any, Any]] = []  # attribute, value of the graph
    for node, is_top in _nodes(graph):
        if node.kind() != "prim::GetAttr":
            continue
        output, name = node.output(), node.s("name")
        owner = owners[node.input().debugName()]
        if name in owner._modules:
            owners[output.debugName()] = owner._modules[name]
            continue
        attribute = getattr(owner, name)
        same = next((value for other, value in first if _are_equal(attribute, other)), None)
        if same is not None:
            output.replaceAllUsesWith(same)
        elif is_top:  # others are not known everywhere
            first.append((attribute, output))


def _nodes(block: Any, is_top: bool = True) -> Iterator[tuple[Any, bool]]:
    """All nodes in order, and whether they are outside of branches and loops."""
    for node in block.nodes():
        yield node, is_top
        for inner in node.blocks():
            yield from _nodes(inner, False)


def _are_equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if not isinstance(one, torch.Tensor):
        return bool(one == other)
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
