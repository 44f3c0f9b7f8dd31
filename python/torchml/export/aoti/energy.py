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
from torchml.models.base import EdgeModel
from torchml.models.descriptor_potential import energies_of

Energy = Callable[..., Any]  # called with the tensors of `Input`s


def energy_of_network(model: EdgeModel, inputs: Sequence[Input], facts: ModelMetadata) -> Energy:
    """The energy of a network in Python, called as `facts.convention` demands."""
    model = model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    if facts.convention == "descriptor":
        energies = energies_of(model).eval()
        return lambda *tensors: energies(*tensors)
    layers = facts.layers or 1

    def energy(*tensors: Any) -> Any:
        if facts.convention == "edges":
            given = arguments_by_name(inputs, tensors)
            species, vectors = tensors[0], tensors[1]
            node_counts = [*given.get("node_counts", []), species.size(0)]
            edge_counts = [*given.get("edge_counts", []), vectors.size(0)]
            return model(species, vectors, tensors[2], node_counts, edge_counts)
        if facts.convention == "graph":
            species, coords, *stages, _ = tensors
            edges = stages[-1]
            counts = [stage.size(1) for stage in stages]
        else:
            species, coords, n_neigh, nlist, contributing = tensors
            # The contributing ones first, in their order: no size depends on the flags.
            owners = torch.argsort(contributing != 1, stable=True)[: n_neigh.size(0)]
            target = torch.repeat_interleave(
                owners, n_neigh.to(torch.int64), output_size=nlist.size(0)
            )
            edges = torch.stack([nlist.to(torch.int64), target])
            counts = [nlist.size(0)]
        vectors = coords.index_select(0, edges[0]) - coords.index_select(0, edges[1])
        return model(species, vectors, edges, [coords.size(0)] * (layers + 1), counts)

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
