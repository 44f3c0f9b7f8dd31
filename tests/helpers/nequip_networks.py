"""Small networks of NequIP's type with random weights; no package makes them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from torchml.importers.networks.nequip import build
from torchml.importers.reading.equivariant import (
    Gated,
    Linear,
    Path,
    Perceptron,
    harmonics,
)
from torchml.importers.reading.nequip_layer import nequip_layer
from torchml.importers.reading.plan import part
from torchml.models import Scaled

SPECIES = ["Si", "O"]
CUTOFF = 3.0
CHANNELS = {"0e": 8, "1e": 4, "2e": 2}
_DEGREE = 2
_BEGIN = {0: 0, 1: 1, 2: 4}


def spherical(unit: Tensor) -> Tensor:
    """Real harmonics of degrees 0 to 2, each with the mean square 1: [E, 3] -> [E, 9]."""
    x, y, z = unit.unbind(1)
    return torch.stack(
        [
            torch.ones_like(x),
            *(math.sqrt(3.0) * one for one in (x, y, z)),
            math.sqrt(15.0) * x * y,
            math.sqrt(15.0) * y * z,
            math.sqrt(1.25) * (3.0 * z * z - 1.0),
            math.sqrt(15.0) * x * z,
            math.sqrt(3.75) * (x * x - y * y),
        ],
        dim=1,
    )


def coupling(a: int, b: int, c: int) -> Tensor:
    """A coupling of degrees that turns with its arguments: [2a+1, 2b+1, 2c+1].

    With an even sum, the mean of the product of three harmonics; else (a and c equal, b = 1), how
    harmonics change in a rotation about each axis.
    """
    if (a + b + c) % 2 == 0:
        heights, weights = np.polynomial.legendre.leggauss(8)
        angles = 2.0 * np.pi * np.arange(16) / 16
        z, angle = np.meshgrid(heights, angles, indexing="ij")
        ring = np.sqrt(1.0 - z**2)
        points = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], -1).reshape(-1, 3)
        values = spherical(torch.tensor(points))
        weight = torch.tensor(np.repeat(weights, 16) / 32)
        one, two, three = (values[:, _BEGIN[k] : _BEGIN[k] + 2 * k + 1] for k in (a, b, c))
        return torch.einsum("e,ea,eb,ec->abc", weight, one, two, three)
    assert b == 1 and a == c
    return torch.stack([_generator(axis, a) for axis in range(3)], dim=1)


def _generator(axis: int, degree: int) -> Tensor:
    """The derivative, by the angle, of the matrix that turns harmonics of a degree."""
    columns = slice(_BEGIN[degree], _BEGIN[degree] + 2 * degree + 1)
    generator = torch.Generator().manual_seed(2)
    points = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    points /= points.norm(dim=1, keepdim=True)
    angles = 2.0 * math.pi * torch.arange(7, dtype=torch.float64) / 7
    turned = [
        torch.linalg.lstsq(
            spherical(points)[:, columns], spherical(points @ _rotation(axis, t))[:, columns]
        ).solution
        for t in angles.tolist()
    ]
    # Fourier series of degree 3 in the angle.
    waves = torch.cat([torch.cos(angles[:, None] * torch.arange(4)),
                       torch.sin(angles[:, None] * torch.arange(1, 4))], dim=1)  # fmt: skip
    series = torch.linalg.solve(waves, torch.stack(turned).flatten(1))
    return (torch.arange(1.0, 4.0, dtype=torch.float64) @ series[4:]).unflatten(
        0, [2 * degree + 1, -1]
    )


def _rotation(axis: int, angle: float) -> Tensor:
    one, two = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[one, one] = matrix[two, two] = math.cos(angle)
    matrix[one, two], matrix[two, one] = -math.sin(angle), math.sin(angle)
    return matrix


def plan(envelope: str = "polynomial", layers: int = 3, by_element: bool = True) -> dict:
    """A network of three kinds of features, as a reader writes it."""
    generator = torch.Generator().manual_seed(7)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    ways, begin, place = [], 0, 0
    for c in range(_DEGREE + 1):
        for a in range(_DEGREE + 1):
            for b in range(_DEGREE + 1):
                odd = (a + b + c) % 2 == 1
                if not abs(a - b) <= c <= a + b or (odd and not (b == 1 and a == c)):
                    continue
                channels = CHANNELS[f"{a}e"]
                tensor = torch.zeros(2 * a + 1, 9, 2 * c + 1, dtype=torch.float64)
                tensor[:, _BEGIN[b] : _BEGIN[b] + 2 * b + 1] = coupling(a, b, c)
                columns = list(range(begin, begin + channels))
                ways.append(Path(f"{a}e", f"{c}e", channels, columns, place, tensor))
                begin += channels
                place += channels * (2 * c + 1)
    widths = {kind: sum(w.channels for w in ways if w.result == kind) for kind in CHANNELS}
    inner = {"0e": 14, "1e": 4, "2e": 2}
    outputs = [
        Gated("0e", ("0e", list(range(8))), None, "silu", 1.6),
        Gated("1e", ("1e", list(range(4))), ("0e", list(range(8, 12))), "tanh", 1.4),
        Gated("2e", ("2e", list(range(2))), ("0e", list(range(12, 14))), "sigmoid", 1.8),
    ]
    blocks, present = [], {"0e": 0}
    for layer in range(layers):
        elements = len(SPECIES) if by_element else 1
        block, present = nequip_layer(
            present,
            up=Linear(
                {kind: random(u, u) / u**0.5 for kind, u in CHANNELS.items()}, 0.3 * random(8)
            ),
            ways=ways,
            radial=Perceptron([random(5, 6), random(6, begin)], "ssp"),
            down={k: 0.3 * random(widths[k], n) / widths[k] ** 0.5 for k, n in inner.items()},
            keep={
                k: random(elements, CHANNELS[k], n) / CHANNELS[k] ** 0.5 for k, n in inner.items()
            },
            bias=0.2 * random(14),
            outputs=outputs,
            last=layer == layers - 1,
        )
        blocks.append(block)
    first, steps = harmonics(spherical, _DEGREE)
    shape = {
        "polynomial": part("PolynomialEnvelope", p=6, cutoff=CUTOFF),
        "XPLOR": part("XPLOREnvelope", onset=2.3, cutoff=CUTOFF),
    }
    network = part(
        "NequIP",
        species=SPECIES,
        cutoff=CUTOFF,
        blocks=blocks,
        embedding=random(len(SPECIES), 8),
        basis=part(
            "Basis",
            functions=part(
                "BesselFunctions",
                wavenumbers=math.pi / CUTOFF * torch.arange(1.0, 6.0, dtype=torch.float64),
                prefactor=2.0 / CUTOFF,
            ),
            envelope=shape[envelope],
            late=False,
        ),
        harmonics=part("Harmonics", first=first, steps=steps),
        normalized=True,
        readout=part("Readout", weights=[random(8, 5), random(5, 1)], activation="elu"),
        scales=torch.tensor([1.3, 0.6], dtype=torch.float64),
    )
    return {"family": "nequip", "network": network, "references": {"Si": -3.0, "O": 5.0}}


def random_nequip(**options: object) -> Scaled:
    """The network of a `plan`."""
    return build(plan(**options))
