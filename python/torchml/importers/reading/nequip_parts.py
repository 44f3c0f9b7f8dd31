"""Modules that NequIP and Allegro share, as parts of networks of torchml."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .equivariant import Perceptron, harmonics, named
from .plan import Part, part
from .source import ReadingError

# The screened repulsion of nuclei in LAMMPS's constants, which nequip has too: factors and decays
# of the exponentials, length (Å), power of the charge.
_SCREENING = ((0.02817, 0.20162), (0.28022, 0.40290), (0.50986, 0.94229), (0.18175, 3.19980))
_LENGTH, _POWER = 0.46850, 0.23


def perceptron(function: Any) -> Perceptron:
    """nequip's perceptron; its factors go into the matrices."""
    if type(function.mlp).__name__ == "DeepLinearMLP":
        first, *others = function.mlp.weights
        return Perceptron([first * function.mlp.alpha, *others], "identity")
    weights, activation = [], "identity"
    for one in function.mlp:
        if type(one).__name__ != "ScalarLinearLayer":
            activation = named(one)
            continue
        if one.bias is not None:
            raise ReadingError("a perceptron has biases, expected none")
        weights.append(one.weight * one.alpha)
    return Perceptron(weights, activation)


def sphere(function: Any) -> Part:
    """e3nn's spherical harmonics, which must be of unit vectors, one of each degree."""
    degrees = [kind.l for _, kind in function.irreps_out]
    if degrees != list(range(len(degrees))) or not function.normalize:
        raise ReadingError(
            f"the spherical harmonics are {function.irreps_out}, expected one of each degree, of "
            "unit vectors"
        )
    first, steps = harmonics(function, degrees[-1])
    return part("Harmonics", first=first, steps=steps)


def basis(bessel: Any, factor: float, cutoff: float) -> Part:
    """Bessel functions of the distance times their envelope.

    Args:
        bessel: nequip's functions of distance over cutoff.
        factor: of all functions.
        cutoff: where they end (Å).
    """
    return part(
        "Basis",
        functions=part(
            "BesselFunctions",
            wavenumbers=bessel.bessel_weights.flatten() * (math.pi / cutoff),
            prefactor=factor * cutoff / math.pi,
        ),
        envelope=envelope(bessel.cutoff, cutoff),
        late=False,
    )


def stretches(cutoffs: Tensor) -> Tensor | None:
    """Largest cutoff over the cutoff of each pair; None where all are the same."""
    largest = cutoffs.max()
    return largest / cutoffs if bool((cutoffs != largest).any()) else None


def norms(module: Any, kept: Sequence[int]) -> Tensor:
    """Factors of sums over neighbours, by kept type."""
    found: Tensor = module.norm_const.detach().flatten()
    return found.expand(len(kept)) if found.numel() == 1 else found[list(kept)]


def envelope(function: Any, cutoff: float) -> Part:
    """nequip's envelope of distance over cutoff."""
    if type(function).__name__ != "PolynomialCutoff" or function.p != int(function.p):
        raise ReadingError(
            f"the envelope is {function}, expected a PolynomialCutoff of a whole power"
        )
    return part("PolynomialEnvelope", p=int(function.p), cutoff=cutoff)


def shifts_and_scales(module: Any, kept: Sequence[int]) -> tuple[Tensor, Tensor]:
    """By kept type (eV)."""

    def by_type(values: Tensor, missing: float) -> Tensor:
        if not values.numel():
            values = torch.full([1], missing, dtype=torch.float64)
        flat = values.detach().double().flatten()
        return flat.expand(len(kept)) if flat.numel() == 1 else flat[list(kept)]

    return by_type(module.shifts, 0.0), by_type(module.scales, 1.0)


def repulsion(parts: Sequence[Any], kept: Sequence[int], cutoff: float) -> Part | None:
    """nequip's repulsion of nuclei, where the parts of a model have it."""
    zbl = next((one for one in parts if type(one).__name__ == "ZBL"), None)
    if zbl is None:
        return None
    charges = zbl.atomic_numbers.double()[list(kept)]
    return part(
        "ScreenedRepulsion",
        charges=charges * float(zbl._qqr2exesquare) ** 0.5,
        screening=charges**_POWER / _LENGTH,
        weights=[weight for weight, _ in _SCREENING],
        decays=[decay for _, decay in _SCREENING],
        envelope=envelope(zbl.cutoff, cutoff),
    )
