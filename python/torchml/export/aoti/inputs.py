"""The tensors that a compiled model takes, of each calling convention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from torchml import _descriptors
from torchml.contract.compiled_inputs import Input
from torchml.contract.metadata import ModelMetadata
from torchml.contract.signature import SHELL_COUNTS


def inputs_of(facts: ModelMetadata, names: Sequence[str]) -> list[Input]:
    """The tensors in order. Lists of counts become tensors of those lengths."""
    dtype, layers = facts.input_dtype or facts.dtype or "", facts.layers or 1
    if facts.convention == "descriptor":
        width = _descriptors.Descriptor(
            _descriptors.parse_parameters(
                facts.descriptor_parameters or "", facts.descriptor or "", "the metadata"
            )
        ).width
        kinds = [(dtype, ("C", str(width))), ("int64", ("C",))]
    elif facts.convention == "raw":
        kinds = [
            ("int64", ("N",)),
            (dtype, ("N", "3")),
            ("int32", ("C",)),
            ("int32", ("P",)),
            ("int64", ("N",)),
        ]
    elif facts.convention == "graph":
        stages = [("int64", ("2", f"E{k}")) for k in range(layers)]
        kinds = [("int64", ("N",)), (dtype, ("N", "3")), *stages, ("int64", ("N",))]
    else:
        kinds = [
            ("int64", ("M",)),
            (dtype, ("E", "3")),
            ("int64", ("2", "E")),
            ("int64", ("M",)),
        ]
    inputs = [Input(name, *kind) for name, kind in zip(names, kinds, strict=False)]
    for name in names[len(kinds) :]:
        counts, letter = (layers, "M") if name == "node_counts" else (layers - 1, "E")
        inputs += [Input(name, "int64", (f"{letter}{k}",)) for k in range(counts)]
    return inputs


def arguments_by_name(inputs: Sequence[Input], tensors: Sequence[Any]) -> dict[str, Any]:
    """Forward's arguments, counts as lists."""
    named: dict[str, Any] = {}
    for one, tensor in zip(inputs, tensors, strict=True):
        if one.name in SHELL_COUNTS:
            named.setdefault(one.name, []).append(tensor.size(0))
        else:
            named[one.name] = tensor
    return named


def schema_of(module: torch.jit.ScriptModule) -> list[Any]:
    """Forward's arguments without self."""
    return list(module.forward.schema.arguments)[1:]  # type: ignore[attr-defined]
