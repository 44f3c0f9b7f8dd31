"""A model that was brought from another package against that package's own results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from torchml.errors import ModelError
from torchml.importers.reading.edges import edges_of, results_of
from torchml.importers.reading.source import Results, Structure
from torchml.models.base import EdgeModel
from torchml.models.dtype import network_dtype

# Differences are relative to the largest value, or to this if all are smaller: forces that cancel
# have no relative accuracy.
_SMALLEST = 0.1  # eV per atom, eV/Å


@dataclass(frozen=True)
class Parity:
    """The largest differences in all structures.

    Attributes:
        energy: eV.
        forces: eV/Å.
        stress: eV/Å³; None where the package computes none.
        relative: the largest of all, relative to the values.
        tolerance: the largest relative difference that rounding explains.
        worst: name of the structure with the largest.
        structures: names.
    """

    energy: float
    forces: float
    stress: float | None
    relative: float
    tolerance: float
    worst: str
    structures: tuple[str, ...]

    def __str__(self) -> str:
        stress = "" if self.stress is None else f", stress {self.stress:.1e} eV/Å³"
        return (
            f"largest differences: energy {self.energy:.1e} eV, forces {self.forces:.1e} eV/Å"
            f"{stress}; relative {self.relative:.1e} of {self.tolerance:.0e} "
            f"({', '.join(self.structures)})"
        )


def require_parity(model: EdgeModel, content: Mapping[str, Any], name: str) -> Parity:
    """Compare energies, forces and stress of all structures.

    Args:
        model: made of `content`.
        content: of `torchml.importers.reading.handing_over.content_of`.
        name: of the model, for the error.

    Raises:
        ModelError: a difference is larger than rounding explains.
    """
    expected = content["results"]
    found = [results(model, _structure(own)) for own in expected]
    parity = _compared(found, expected, content["tolerance"][content["results_dtype"]])
    if not parity.relative <= parity.tolerance:
        raise ModelError(
            f"{name}: the results of the '{parity.worst}' differ from those of its package by "
            f"{parity.relative:.1e}, expected at most {parity.tolerance:.0e} ({parity}): this "
            "variant of the model is not supported"
        )
    return parity


def require_rounding(content: Mapping[str, Any], name: str) -> Parity | None:
    """Compare the package's calculator, in float32, with the package's modules in float64.

    Args:
        content: of `torchml.importers.reading.handing_over.content_of`.
        name: of the model, for the error.

    Returns:
        The differences; None where the results in `content` are the calculator's.

    Raises:
        ModelError: a difference is larger than rounding explains.
    """
    if not content["rounded"]:
        return None
    found = [
        Results(**{key: own[key] for key in ("energy", "forces", "stress", "energies")})
        for own in content["rounded"]
    ]
    parity = _compared(found, content["results"], content["tolerance"]["float32"])
    if not parity.relative <= parity.tolerance:
        raise ModelError(
            f"{name}: the results of its package's calculator for the '{parity.worst}' differ from "
            f"those of its modules in float64 by {parity.relative:.1e}, expected the rounding of "
            f"float32, at most {parity.tolerance:.0e} ({parity})"
        )
    return parity


def results(model: EdgeModel, structure: Structure) -> Results:
    """Energy, forces and stress of a model, in its own float type."""
    vectors, index = edges_of(structure, model.cutoff)
    codes = torch.tensor([model.species.index(one) for one in structure.symbols])
    leaf = vectors.to(network_dtype(model) or torch.float64).requires_grad_()
    nodes, edges = [len(codes)] * (model.layers + 1), [len(leaf)] * model.layers
    energies = model(codes, leaf, index, nodes, edges)
    (gradient,) = torch.autograd.grad(
        energies.sum(), leaf, allow_unused=True, materialize_grads=True
    )
    return results_of(structure, energies, leaf.detach(), index, gradient)


def _structure(own: Mapping[str, Any]) -> Structure:
    return Structure(own["symbols"], own["positions"].numpy(), own["cell"].numpy(), own["pbc"])


def _compared(
    found: Sequence[Results], expected: Sequence[Mapping[str, Any]], tolerance: float
) -> Parity:
    largest = {"energy": 0.0, "energies": 0.0, "forces": 0.0, "stress": 0.0}
    relative = {}
    for values, own in zip(found, expected, strict=True):
        atoms = len(own["symbols"])
        smallest = {
            "energy": _SMALLEST * atoms,
            "energies": _SMALLEST,
            "forces": _SMALLEST,
            "stress": _SMALLEST * atoms / float(own["cell"].det().abs()),
        }
        shares = []
        for quantity, least in smallest.items():
            if own[quantity] is not None:
                value = torch.as_tensor(own[quantity])
                difference = _difference(torch.as_tensor(getattr(values, quantity)), value)
                largest[quantity] = max(largest[quantity], difference)
                shares.append(difference / max(float(value.abs().max()), least))
        relative[str(own["name"])] = max(shares)
    worst = max(relative, key=lambda name: relative[name])
    without_stress = all(own["stress"] is None for own in expected)
    return Parity(
        largest["energy"],
        largest["forces"],
        None if without_stress else largest["stress"],
        relative[worst],
        tolerance,
        worst,
        tuple(relative),
    )


def _difference(one: torch.Tensor, two: torch.Tensor) -> float:
    """The largest difference; infinite where a value is no number."""
    difference = float((one - two).abs().max())
    return difference if math.isfinite(difference) else math.inf
