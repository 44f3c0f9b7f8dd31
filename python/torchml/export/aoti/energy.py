"""The energy of a model as a function of the tensors that the compiled model takes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from torchml.contract.compiled_inputs import Input
from torchml.contract.metadata import ModelMetadata, quiet_torchscript
from torchml.contract.signature import SHELL_COUNTS
from torchml.export.aoti.inputs import arguments_by_name, schema_of
from torchml.export.aoti.tracing import refusal
from torchml.models.calling import Called

Energy = Callable[..., Any]  # called with the tensors of `Input`s


def energy_of_network(called: Called, inputs: Sequence[Input]) -> Energy:
    """The energy of a network in Python."""
    called = called.eval()
    for parameter in called.parameters():
        parameter.requires_grad_(False)

    def energy(*tensors: Tensor) -> Any:
        given = arguments_by_name(inputs, tensors)
        if "node_counts" in called.argument_names:
            given["node_counts"] = [*given.get("node_counts", []), tensors[0].size(0)]
            given["edge_counts"] = [*given.get("edge_counts", []), tensors[1].size(0)]
        return called(*(given[name] for name in called.argument_names))

    return energy


_SIZE_OPERATIONS = {
    torch.ops.aten.add.int: operator.add,
    torch.ops.aten.sub.int: operator.sub,
    torch.ops.aten.mul.int: operator.mul,
    torch.ops.aten.neg.int: operator.neg,
    torch.ops.aten.floordiv.int: operator.floordiv,
}


def energy_of_torchscript(
    module: torch.jit.ScriptModule, inputs: Sequence[Input], sample: Sequence[Tensor], name: str
) -> Energy:
    """The energy of a TorchScript module as a graph that follows the sizes of its inputs."""
    from torch._export.converter import TS2EPConverter

    arguments = [f"a{k}" for k in range(len(inputs))]
    lists = {
        name: [f"{a}.size(0)" for a, one in zip(arguments, inputs, strict=True) if one.name == name]
        for name in SHELL_COUNTS
    }
    lists["node_counts"].append("a0.size(0)")
    lists["edge_counts"].append("a1.size(0)")
    places = {one.name: a for a, one in zip(arguments, inputs, strict=True)}
    handed = [
        f"[{', '.join(lists[one.name])}]" if one.name in SHELL_COUNTS else places[one.name]
        for one in schema_of(module)
        if one.name in SHELL_COUNTS or one.name in places
    ]
    source = (
        f"def forward(self, {', '.join(f'{a}: Tensor' for a in arguments)}):\n"
        f"    return self.inner({', '.join(handed)})\n"
    )

    class Flat(torch.jit.ScriptModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module
            self.define(source)

    kept: list[torch.fx.GraphModule] = []

    class Converter(TS2EPConverter):
        def retrace_as_exported_program(self, gm: torch.fx.GraphModule, _: Any) -> Any:
            # Tracing here would turn sizes into constants; ours comes later.
            kept.append(gm)
            raise _Kept

    try:
        with quiet_torchscript():
            Converter(Flat(), tuple(sample)).convert()
    except _Kept:
        pass
    except Exception as error:
        raise refusal(name, "its TorchScript cannot be converted", error) from None
    graph = kept[0]
    for node in graph.graph.nodes:
        node.target = _SIZE_OPERATIONS.get(node.target, node.target)
    graph.recompile()
    for parameter in graph.parameters():
        parameter.requires_grad_(False)
    return graph


def energy_alone(energy: Energy, facts: ModelMetadata) -> Callable[..., tuple[Tensor]]:
    """The energy without what its derivative needs."""

    def function(*tensors: Tensor) -> tuple[Tensor]:
        found = energy(*tensors)
        return (found[0] if facts.returns_forces else found,)

    return function


class _Kept(Exception):
    """The graph has been taken."""


def with_derivative(
    energy: Energy, inputs: Sequence[Input], facts: ModelMetadata, kind: str
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Energy, and derivative of the contributing energy, as the conventions define it."""
    place = 0 if facts.convention == "descriptor" else 1
    sign = -1.0 if facts.convention in ("raw", "graph") else 1.0
    flag = 1 if facts.convention == "raw" else 0
    flags = next((k for k, one in enumerate(inputs) if one.name == "contributing"), None)

    def function(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        if facts.returns_forces:
            energies, derivative = energy(*tensors)
            return energies, derivative
        leaf = tensors[place].detach().requires_grad_(True)
        energies = energy(*tensors[:place], leaf, *tensors[place + 1 :])
        counted = energies.squeeze(1) if energies.dim() == 2 else energies
        if kind == "per_particle" and flags is not None:
            counted = torch.where(tensors[flags] == flag, counted, torch.zeros_like(counted))
        total = counted.sum()
        if not total.requires_grad:
            return energies, torch.zeros_like(leaf)
        (gradient,) = torch.autograd.grad(total, leaf, allow_unused=True, materialize_grads=True)
        return energies, gradient if sign > 0 else -gradient

    return function
