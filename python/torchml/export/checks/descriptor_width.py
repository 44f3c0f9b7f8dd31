"""The network takes as many numbers per atom as the descriptor has."""

from __future__ import annotations

import torch

import torchml._core as core
from torchml.contract.metadata import ModelMetadata
from torchml.export.descriptor import ExportedDescriptor
from torchml.reference.agreement import Check


def check_width(
    module: torch.nn.Module, facts: ModelMetadata, descriptor: ExportedDescriptor
) -> Check:
    """The network takes as many numbers per atom as the descriptor has."""
    name, width = "width of the descriptor", descriptor.width
    if (reason := _refusal(module, facts, width)) is None:
        return Check(name, "pass", f"{width} numbers per atom, {descriptor.kind}")
    sizes = {size for one in module.parameters() for size in one.shape if size != width}
    # The largest first: one number is added to any.
    taken = next((n for n in sorted(sizes)[::-1] if _refusal(module, facts, n) is None), None)
    if taken is None:
        return Check(name, "fail", f"forward stops: {reason}")
    detail = (
        f"the network takes {taken} numbers per atom, but the descriptor in {descriptor.source}, "
        f"{descriptor.kind}, has {width}"
    )
    return Check(name, "fail", detail)


def _refusal(module: torch.nn.Module, facts: ModelMetadata, width: int) -> str | None:
    """Why the network stops at descriptors of this width; None where it does not."""
    dtype = torch.float32 if facts.dtype == "float32" else torch.float64
    inputs = [torch.zeros(3, width, dtype=dtype)]
    if facts.species_input is not None:
        first = (facts.species or ())[0]
        code = core.atomic_number(first) if facts.species_input == "atomic_number" else 0
        inputs.append(torch.full((3,), code))
    try:
        with torch.no_grad():
            module(*inputs)
    except (RuntimeError, torch.jit.Error) as error:
        return str(error).strip().splitlines()[-1]
    return None
