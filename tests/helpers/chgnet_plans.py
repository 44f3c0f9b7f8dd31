"""CHGNets with random weights, as the plain values that are read from a model."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch


def random_plan(
    species: list[str],
    layers: int = 3,
    *,
    cutoff: float = 3.0,
    bond_cutoff: float = 2.0,
    hidden: tuple[int, ...] = (7,),
    angle_hidden: tuple[int, ...] = (),
    biases: bool = False,
    bond_norm: bool = False,
    seed: int = 3,
) -> dict[str, Any]:
    """What `torchml.importers.networks.chgnet.build` takes.

    Args:
        species: chemical symbols.
        layers: convolutions of atoms.
        cutoff: of edges (Å).
        bond_cutoff: of bonds that form angles (Å).
        hidden: widths of the gated perceptrons of atoms and bonds.
        angle_hidden: widths of those of angles.
        biases: the last layers of the convolutions have biases.
        bond_norm: convolutions end with a norm.
        seed: of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    atoms, bonds, angles, radial, angular = 6, 5, 4, 6, 3

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def linear(inputs: int, outputs: int, bias: bool = True) -> list[Any]:
        return [draw(outputs, inputs) / math.sqrt(inputs), 0.3 * draw(outputs) if bias else None]

    def layers_of(*widths: int) -> list[Any]:
        return [linear(a, b) for a, b in itertools.pairwise(widths)]

    def norm(width: int, kind: str = "layer") -> dict[str, Any]:
        found = {"kind": kind, "weight": 1 + 0.2 * draw(width), "bias": 0.2 * draw(width)}
        return {**found, "epsilon": 1e-5} if kind == "layer" else found

    def gated(*widths: int) -> dict[str, Any]:
        return {
            "core": layers_of(*widths),
            "gate": layers_of(*widths),
            "core_norm": norm(widths[-1]),
            "gate_norm": norm(widths[-1], "affine"),
        }

    def conv(inputs: int, width: int) -> dict[str, Any]:
        return {
            "mlp": gated(inputs, *hidden, width),
            "out": linear(width, width, biases),
            "norm": norm(width) if bond_norm else None,
        }

    of_angle = atoms + 2 * bonds + angles
    return {
        "family": "chgnet",
        "species": species,
        "cutoff": cutoff,
        "bond_cutoff": bond_cutoff,
        "exponent": 5,
        "activation": "silu",
        "references": {symbol: -1.0 - k for k, symbol in enumerate(species)},
        "frequencies": math.pi * torch.arange(1, radial + 1) + 0.1 * draw(radial),
        "bond_frequencies": math.pi * torch.arange(1, radial + 1) + 0.1 * draw(radial),
        "angle_frequencies": torch.arange(1, angular + 1) + 0.1 * draw(angular),
        "atoms": draw(len(species), atoms),
        "bonds": linear(radial, bonds)[0],
        "weights": linear(radial, atoms)[0],
        "bond_weights": 20 * linear(radial, bonds)[0],  # angles matter
        "angles": linear(2 * angular + 1, angles)[0],
        "atom_convs": [conv(2 * atoms + bonds, atoms) for _ in range(layers)],
        "bond_convs": [conv(of_angle, bonds) for _ in range(layers - 1)],
        "angle_updates": [
            {
                "mlp": gated(of_angle, *angle_hidden, angles),
                "norm": norm(angles) if bond_norm else None,
            }
            for _ in range(layers - 1)
        ],
        "readout": {"norm": norm(atoms), "mlp": None, "layers": layers_of(atoms, 6, 1)},
    }
