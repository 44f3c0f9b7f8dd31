"""Perceptrons, their initial weights, and activations that the models share."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor


def perceptron(*widths: int) -> torch.nn.Sequential:
    """Return linear layers of these widths, with SiLU between them and none at the end."""
    layers: list[torch.nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.SiLU()]
    return torch.nn.Sequential(*layers[:-1])


def readout(features: int) -> torch.nn.Sequential:
    """Return a perceptron from the features of an atom to its energy: [M, F] -> [M, 1]."""
    return perceptron(features, max(features // 2, 1), 1)


def shifted_softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x) - ln 2: smooth, and zero at zero."""
    return torch.nn.functional.softplus(x) - math.log(2.0)


def initialize(module: torch.nn.Module) -> None:
    """Draw weights that keep the variance of their inputs, and set biases to zero."""
    for part in module.modules():
        if isinstance(part, torch.nn.Linear):
            torch.nn.init.normal_(part.weight, std=part.in_features**-0.5)
            if part.bias is not None:
                torch.nn.init.zeros_(part.bias)
