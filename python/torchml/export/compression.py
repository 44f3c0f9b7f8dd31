"""Compressed models: what depends on the distance alone becomes splines.

A network of the distance costs as much for every edge as it has weights, although it is a handful
of smooth curves. Splines of degree five on equal intervals follow them to many digits for the price
of six multiplications a curve, and the operators of `torchml._core` sum messages with them as
filters without writing down anything for each edge.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from torchml.errors import ModelError, TorchMLError
from torchml.models.base import EdgeModel
from torchml.models.radial import Expansion, RadialFunction
from torchml.models.splines import Distances, Splines

_Part = TypeVar("_Part", bound=torch.nn.Module)

_DEGREE = 5
_MOST_INTERVALS = 2048


@dataclass(frozen=True)
class Compression:
    """A compressed model and what became of its radial functions.

    Attributes:
        functions: number of curves.
        intervals: the most that one module's needed.
        bytes: of all tables.
        error: the largest of a curve between knots, divided by the largest value of its module.
    """

    model: EdgeModel
    functions: int
    intervals: int
    bytes: int
    error: float


def compress(model: EdgeModel, accuracy: float = 1e-8) -> Compression:
    """A copy of the model with splines in place of its radial functions, in its own float type.

    The number of intervals is doubled until no curve is off by more than `accuracy`, in parts of
    the largest value of its module, with slopes accordingly; float32 tables are made of exact ones.
    They reach from 0 to the cutoff: below the training distances the splines follow the network's
    own extrapolation.
    """
    if not accuracy > 0:
        raise TorchMLError(f"the accuracy of splines is {accuracy}, expected a positive number")
    model = copy.deepcopy(model).eval()
    tables: list[tuple[Splines, float]] = []
    for owner in list(model.modules()):
        if isinstance(owner, EdgeModel):
            tables += _compress_network(owner, accuracy)
    if not tables:
        raise ModelError(
            f"{type(getattr(model, 'network', model)).__name__} has no radial functions "
            "(torchml.models.radial.RadialFunction): there is nothing to compress"
        )
    made = [one.table for one, _ in tables]
    return Compression(
        model,
        functions=sum(table.size(1) for table in made),
        intervals=max(table.size(0) for table in made) - _DEGREE,
        bytes=sum(table.nbytes for table in made),
        error=max(error for _, error in tables),
    )


def has_radial_functions(model: EdgeModel) -> bool:
    """Whether there is something to compress in a model."""
    return any(isinstance(module, RadialFunction) for module in model.modules())


def _compress_network(network: EdgeModel, accuracy: float) -> list[tuple[Splines, float]]:
    """Replace the radial functions that belong to this network itself, and their expansion."""
    functions = _parts(network, RadialFunction)
    expansions = _parts(network, Expansion)
    if not functions or all(part.compressed for _, _, part in functions):
        return []
    if len(expansions) > 1:
        raise ModelError(
            f"{type(network).__name__} has {len(expansions)} expansions of the distance, "
            "expected one that all of its radial functions share"
        )
    expansion = copy.deepcopy(expansions[0][2] if expansions else Expansion()).double()
    made = []
    for parent, name, function in functions:
        dtype = next((p.dtype for p in function.parameters()), torch.float64)
        exact = copy.deepcopy(function).double()
        table, error = _fit(exact, expansion, network.cutoff, accuracy)
        splines = Splines(table.to(dtype), network.cutoff)
        setattr(parent, name, splines)
        _forget_names(parent)
        made.append((splines, error))
    for parent, name, _ in expansions:
        setattr(parent, name, Distances())
    return made


def _parts(module: torch.nn.Module, kind: type[_Part]) -> list[tuple[torch.nn.Module, str, _Part]]:
    """(parent, name, part) of the parts of a kind, but not of other models within this one."""
    found: list[tuple[torch.nn.Module, str, _Part]] = []
    for name, part in module.named_children():
        if isinstance(part, kind):
            found.append((module, name, part))
        elif not isinstance(part, EdgeModel):
            found += _parts(part, kind)
    return found


def _forget_names(module: torch.nn.Module) -> None:
    """A compressed model is no checkpoint's: its state bears its own names."""
    module._state_dict_hooks.clear()
    module._load_state_dict_pre_hooks.clear()


@torch.no_grad()
def _fit(
    function: RadialFunction, expansion: Expansion, cutoff: float, accuracy: float
) -> tuple[Tensor, float]:
    """Coefficients of splines through a function's values, and the largest error between them."""

    def values(r: Tensor) -> Tensor:
        found: Tensor = function(expansion(r))
        return found

    intervals = 64
    while True:
        table = _interpolate(values, cutoff, intervals)
        error = _error(values, table, cutoff)
        if error <= accuracy or intervals >= _MOST_INTERVALS:
            return table, error
        intervals *= 2


def _interpolate(values: Callable[[Tensor], Tensor], cutoff: float, intervals: int) -> Tensor:
    """Coefficients of the splines that meet the functions at the knots: [intervals + 5, K].

    The five conditions beyond the intervals: the middle of the first two and of the last one, and
    value and slope at the cutoff, both exactly zero where the functions' vanish.
    """
    spacing = cutoff / intervals
    place = torch.arange(intervals + 1, dtype=torch.float64)
    place = torch.cat([place, torch.tensor([0.5, 1.5, intervals - 0.5], dtype=torch.float64)])
    place[0] = 1e-6  # 0 / 0 at the distance 0
    r = place * spacing
    r[intervals] *= 1.0 - 1e-12  # where the cutoff ends the functions, their limit
    found = values(r)
    largest = found.abs().max()
    step = 1e-5 * cutoff
    behind = values(torch.tensor([cutoff - step, cutoff - 2 * step], dtype=torch.float64))
    slope = (3 * found[intervals] - 4 * behind[0] + behind[1]) / (2 * step)
    slope = torch.where(slope.abs() * cutoff < 1e-5 * largest, torch.zeros_like(slope), slope)
    end = found[intervals]
    found[intervals] = torch.where(end.abs() < 1e-10 * largest, torch.zeros_like(end), end)

    first = place.floor().clamp(max=intervals - 1)
    pieces = _pieces(place - first, _DEGREE)
    rows = torch.zeros(intervals + 5, intervals + 5, dtype=torch.float64)
    columns = first.long().unsqueeze(1) + torch.arange(6)
    rows[:-1].scatter_(1, columns, pieces)
    lower = _pieces(torch.ones(1, dtype=torch.float64), _DEGREE - 1)
    none = torch.zeros(1, 1, dtype=torch.float64)
    rows[-1, -6:] = (torch.cat([none, lower], 1) - torch.cat([lower, none], 1))[0]
    table: Tensor = torch.linalg.solve(rows, torch.cat([found, slope.unsqueeze(0) * spacing]))
    return table


def _pieces(u: Tensor, degree: int) -> Tensor:
    """Pieces of the B-spline by the recursion of de Boor and Cox: [S] -> [S, degree + 1]"""
    u = u.unsqueeze(1)
    b = torch.ones_like(u)
    none = torch.zeros_like(u)
    for k in range(1, degree + 1):
        j = torch.arange(k + 1, dtype=torch.float64)
        b = ((u + k - j) * torch.cat([none, b], 1) + (j + 1 - u) * torch.cat([b, none], 1)) / k
    return b


def _error(values: Callable[[Tensor], Tensor], table: Tensor, cutoff: float) -> float:
    """The largest difference between knots, in parts of the largest value."""
    intervals = table.size(0) - _DEGREE
    between = torch.tensor([0.11, 0.29, 0.5, 0.74, 0.93], dtype=torch.float64)
    place = (torch.arange(intervals, dtype=torch.float64).unsqueeze(1) + between).flatten()
    r = place * (cutoff / intervals)
    exact = values(r)
    difference = torch.ops.torchml.spline(r, table, cutoff) - exact
    largest = exact.abs().max()
    return 0.0 if largest == 0 else float(difference.abs().max() / largest)
