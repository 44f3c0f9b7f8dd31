"""Gated perceptrons, norms and activations, made of plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from torchml.errors import ModelError


class ScaledSiLU(torch.nn.Module):
    """silu(x) / 0.6"""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.silu(x) * (1.0 / 0.6)


class Affine(torch.nn.Module):
    """x * scale + shift: a batch normalisation after training."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class Gated(torch.nn.Module):
    """act(core) * sigmoid(gate), from the sums of the first layers of both: [n, 2 H] -> [n, F]

    Args:
        start: of both, before the other layers: an activation, if there are other layers.
        core: [n, H] -> [n, F], with the activation.
        gate: [n, H] -> [n, F], with the sigmoid.
    """

    def __init__(
        self, start: torch.nn.Module, core: torch.nn.Module, gate: torch.nn.Module
    ) -> None:
        super().__init__()
        self.start = start
        self.core = core
        self.gate = gate

    def forward(self, h: Tensor) -> Tensor:
        core, gate = self.start(h).chunk(2, 1)
        product: Tensor = self.core(core) * self.gate(gate)
        return product


def first_layer(mlp: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Weights [2 H, inputs] and biases [2 H] of the first layers of core and gate."""
    layers = [mlp["core"][0], mlp["gate"][0]]
    return torch.cat([weight for weight, _ in layers]), torch.cat([bias for _, bias in layers])


def gated(mlp: Mapping[str, Any], activation: str) -> Gated:
    """What follows the first layers."""
    core = [
        *hidden(mlp["core"][1:], activation),
        norm_of(mlp["core_norm"]),
        activation_of(activation),
    ]
    gate = [*hidden(mlp["gate"][1:], activation), norm_of(mlp["gate_norm"]), torch.nn.Sigmoid()]
    if len(mlp["core"]) == 1:
        return Gated(torch.nn.Identity(), torch.nn.Sequential(*core), torch.nn.Sequential(*gate))
    # The first activation works on one contiguous array: both parts alone are a third slower.
    return Gated(core[0], torch.nn.Sequential(*core[1:]), torch.nn.Sequential(*gate[1:]))


def hidden(layers: Sequence[Any], activation: str) -> list[torch.nn.Module]:
    """Linear layers, each after an activation."""
    parts: list[torch.nn.Module] = []
    for weight, bias in layers:
        parts += [activation_of(activation), linear_of(weight, bias)]
    return parts


def activation_of(name: str) -> torch.nn.Module:
    known: dict[str, type[torch.nn.Module]] = {
        "silu": torch.nn.SiLU,
        "scaledsilu": ScaledSiLU,
        "relu": torch.nn.ReLU,
        "gelu": torch.nn.GELU,
        "softplus": torch.nn.Softplus,
        "sigmoid": torch.nn.Sigmoid,
        "tanh": torch.nn.Tanh,
    }
    if name not in known:
        raise ModelError(f"the activation of a CHGNet is {name}, expected {' | '.join(known)}")
    return known[name]()


def norm_of(norm: Mapping[str, Any] | None) -> torch.nn.Module:
    """A layer norm, an affine function, or the identity."""
    if norm is None:
        return torch.nn.Identity()
    if norm["kind"] == "affine":
        return Affine(norm["weight"], norm["bias"])
    if norm["kind"] != "layer":
        raise ModelError(f"the norm of a CHGNet is {norm['kind']}, expected layer | affine")
    made = torch.nn.LayerNorm(len(norm["weight"]), norm["epsilon"], dtype=torch.float64)
    with torch.no_grad():
        made.weight.copy_(norm["weight"])
        made.bias.copy_(norm["bias"])
    return made


def linear_of(weight: Tensor, bias: Tensor | None = None) -> torch.nn.Linear:
    made = torch.nn.Linear(
        weight.size(1), weight.size(0), bias=bias is not None, dtype=torch.float64
    )
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None:
            made.bias.copy_(bias)
    return made
