"""A small Allegro with random weights; no package makes it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from helpers.nequip_networks import CUTOFF, SPECIES, coupling, spherical
from torchml.importers.networks.allegro import build
from torchml.importers.reading.equivariant import harmonics
from torchml.importers.reading.plan import part
from torchml.models import Scaled

_DEGREES = 3  # 0, 1 and 2
_CHANNELS, _SCALARS = 3, 4
_WEIGHTS = _CHANNELS * _DEGREES


def plan(layers: int = 2, **options: Any) -> dict[str, Any]:
    """A network as a reader writes it; the options are those of `Allegro`."""
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def perceptron(*widths: int, activation: str = "silu") -> dict[str, Any]:
        pairs = itertools.pairwise(widths)
        return part(
            "Perceptron",
            weights=[random(one, two) / one**0.5 for one, two in pairs],
            activation=activation,
        )

    blocks = []
    for layer in range(layers):
        last = layer == layers - 1
        width = _SCALARS if last else _SCALARS + _WEIGHTS
        blocks.append(
            part(
                "Layer",
                coupling=part("Coupling", coefficients=_coefficients(random, last)),
                network=perceptron(_SCALARS * (layer + 1) + _CHANNELS, 5, width),
            )
        )
    first, steps = harmonics(spherical, _DEGREES - 1)
    arguments = {
        "species": SPECIES,
        "cutoff": CUTOFF,
        "embedding": part(
            "PairEmbedding",
            basis=part(
                "Basis",
                functions=part(
                    "BesselFunctions",
                    wavenumbers=math.pi / CUTOFF * torch.arange(1.0, 6.0, dtype=torch.float64),
                    prefactor=2.0 / CUTOFF,
                ),
                envelope=part("PolynomialEnvelope", p=6, cutoff=CUTOFF),
                late=False,
            ),
            projection=random(5, 6),
            centers=random(2, 3),
            neighbors=random(2, 3),
            network=perceptron(6, 7, 6),
        ),
        "harmonics": part("Harmonics", first=first, steps=steps),
        "weighting": random(6, _WEIGHTS),
        "first": random(6, _SCALARS + _WEIGHTS),
        "blocks": blocks,
        "scalars": _SCALARS,
        "channels": _CHANNELS,
        "readout": perceptron(_SCALARS * (layers + 1), 4, 1),
        "norms": torch.tensor([0.3, 0.4], dtype=torch.float64),
        "scales": torch.tensor([1.3, 0.6], dtype=torch.float64),
    }
    return {
        "family": "allegro",
        "network": part("Allegro", **(arguments | options)),
        "references": {"Si": -3.0, "O": 5.0},
    }


def _coefficients(random: Any, last: bool) -> Tensor:
    """Of all products of degrees up to 2 whose result is wanted: [U, I, J, K]."""
    begin = [degree**2 for degree in range(_DEGREES + 1)]
    found = torch.zeros(_CHANNELS, 9, 9, 1 if last else 9, dtype=torch.float64)
    for a in range(_DEGREES):
        for b in range(_DEGREES):
            for c in range(1 if last else _DEGREES):
                if abs(a - b) <= c <= a + b and (a + b + c) % 2 == 0:
                    one, two, three = (slice(begin[k], begin[k + 1]) for k in (a, b, c))
                    found[:, one, two, three] = random(_CHANNELS, 1, 1, 1) * coupling(a, b, c)
    return found


def random_allegro(**options: Any) -> Scaled:
    """The network of a `plan`."""
    return build(plan(**options))
