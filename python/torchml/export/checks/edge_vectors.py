"""Whether the directions of the edge vectors matter, or their lengths alone."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch

import torchml._core as core
from torchml.contract.metadata import ModelMetadata
from torchml.contract.signature import SHELL_COUNTS
from torchml.models.staged import argument_names
from torchml.reference.agreement import Check, agreement


def check_radial(
    module: torch.nn.Module, facts: ModelMetadata, scale: float | None = None
) -> tuple[Check, ModelMetadata]:
    """Turn each edge vector on its own: only a function of the lengths does not notice.

    Args:
        module: the model as TorchScript, or a `Called` network.
        facts: its metadata.
        scale: cutoff of the first part of a sum (Å); None is that of the model.
    """
    generator = torch.Generator().manual_seed(0)
    given = facts.input_dtype or facts.dtype
    dtype = torch.float64 if given == "float64" else torch.float32
    n = 6
    pairs = torch.tensor(list(itertools.permutations(range(n), 2))).T
    # Angles may have a shorter range than the cutoff: CHGNet's ends at half of it.
    lengths = torch.rand(pairs.size(1), 1, generator=generator, dtype=dtype) * 0.65 + 0.25
    lengths *= scale or facts.cutoff or 0.0

    species = torch.arange(n) % len(facts.species or ())
    if facts.species_input == "atomic_number":
        numbers = [core.atomic_number(symbol) for symbol in facts.species or ()]
        species = torch.tensor(numbers)[species]
    arguments = argument_names(module)

    def energies(vectors: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        counts = {
            "node_counts": [n] * ((facts.layers or 1) + 1),
            "edge_counts": [pairs.size(1)] * (facts.layers or 1),
        }
        extra = [counts[name] for name in SHELL_COUNTS if name in arguments]
        output = module(species, vectors, pairs, torch.zeros_like(species), *extra)
        energy: torch.Tensor = output[0] if facts.returns_forces else output
        return energy.detach()

    found, rounding = [], 0.0
    for _ in range(3):
        vectors = torch.randn(pairs.size(1), 3, generator=generator, dtype=dtype)
        vectors *= lengths / vectors.norm(dim=1, keepdim=True)
        try:
            energy = energies(vectors, pairs)
        except (RuntimeError, torch.jit.Error) as error:
            reason = str(error).strip().splitlines()[-1]
            return Check("edge vectors", "fail", f"forward stops: {reason}"), facts
        rounding = torch.finfo(energy.dtype).eps * energy.double().abs().sum().item()
        found.append(energy.double().sum().item())
    # Measured by what neighbours add: energies of the atoms themselves can be thousands of eV.
    try:
        apart = energies(vectors[:0], pairs[:, :0]).double().sum().item()
    except (RuntimeError, torch.jit.Error):
        apart = 0.0
    interaction = max(abs(energy - apart) for energy in found)
    spread = max(found) - min(found)
    radial = spread <= 1e3 * agreement(facts.dtype or "").epsilon * interaction + 10 * rounding
    if facts.radial and not radial:
        detail = f"declared to matter by length only, but turning them changes {spread:.1e} eV"
        return Check("edge vectors", "fail", detail), facts
    detail = "only their lengths matter" if radial else "their directions matter"
    if facts.radial is None:
        facts = replace(facts, radial=radial)
    return Check("edge vectors", "pass", detail), facts
