"""Sample inputs, with which a model is traced."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import torchml._core as core
from torchml.contract.compiled_inputs import Input
from torchml.contract.metadata import ModelMetadata
from torchml.models.base import float_type


def samples_of(
    inputs: Sequence[Input], facts: ModelMetadata, seed: int, device: str
) -> tuple[Tensor, ...]:
    """Inputs of a possible system. All of their sizes differ."""
    generator = torch.Generator().manual_seed(seed)
    # Distinct sizes, growing from shell to shell.
    step = 1 + seed
    nodes = [5 + 4 * step * k + 2 * seed for k in range((facts.layers or 1) + 1)]
    edges = [31 + 18 * step * k + 3 * seed for k in range(facts.layers or 1)]
    sizes = {"C": nodes[0], "N": nodes[-1], "M": nodes[-1], "P": edges[-1], "E": edges[-1]}
    sizes |= {f"M{k}": count for k, count in enumerate(nodes[:-1])}
    sizes |= {f"E{k}": count for k, count in enumerate(edges)}
    particles = sizes["C"] if facts.convention == "descriptor" else nodes[-1]
    code = core.atomic_number((facts.species or ("H",))[0])
    first = code if facts.species_input == "atomic_number" else 0

    sources, targets = [], []
    for k, count in enumerate(edges):
        new = count - (edges[k - 1] if k else 0)
        sources.append(torch.randint(0, nodes[k + 1], (new,), generator=generator))
        targets.append(torch.randint(0, nodes[k], (new,), generator=generator))
    index = torch.stack([torch.cat(sources), torch.cat(targets)])
    ghost = 0 if facts.convention == "raw" else 1
    flags = torch.full((particles,), ghost)
    flags[: nodes[0]] = 1 - ghost

    def values(one: Input) -> Tensor:
        shape = [sizes.get(size) or int(size) for size in one.sizes]
        if one.dtype.startswith("float"):
            spread = facts.cutoff or 1.0
            return spread * torch.rand(shape, generator=generator, dtype=float_type(one.dtype))
        if one.name == "contributing":
            return flags
        if len(shape) == 2:
            return index[:, : shape[1]].contiguous()
        if one.name == "node_counts":
            return flags[: shape[0]]
        if one.name == "edge_counts":
            return index[0, : shape[0]]
        if one.sizes == ("P",):
            return index[0, : shape[0]].to(torch.int32)
        if one.dtype == "int32":  # n_neigh
            counts = torch.zeros(shape[0], dtype=torch.int32)
            counts[0] = sizes["P"]
            return counts
        return torch.full((particles,), first)

    made: dict[str, Tensor] = {}
    tensors = []
    for one in inputs:
        # A prefix shares the memory of the whole, as in the engine.
        made[str(one)] = values(one).to(device)
        tensors.append(made[str(one)])
    return tuple(tensors)
