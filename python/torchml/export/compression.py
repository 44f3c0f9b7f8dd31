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
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

from torchml.errors import ModelError, TorchMLError
from torchml.models.base import EdgeModel
from torchml.models.radial import Expansion, RadialFunction
from torchml.models.splines import Distances, PiecewiseDistances, Splines

_Part = TypeVar("_Part", bound=torch.nn.Module)

_DEGREE = 5
_FEWEST_INTERVALS = 64
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
    pieces = Pieces.of([0.0, *expansion.breaks(), network.cutoff])
    made = []
    for parent, name, function in functions:
        dtype = next((p.dtype for p in function.parameters()), torch.float64)
        exact = copy.deepcopy(function).double()
        table, error = _fit(exact, expansion, pieces, accuracy)
        splines = Splines(table.to(dtype), pieces.length)
        setattr(parent, name, splines)
        _forget_names(parent)
        made.append((splines, error))
    for parent, name, _ in expansions:
        setattr(parent, name, pieces.distances())
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


@dataclass(frozen=True)
class Pieces:
    """Parts of the distance on which functions are smooth, and the argument of splines on them.

    The argument counts intervals of one length, and leaves out as many between two parts as a
    spline reaches over: the parts share no coefficient.

    Attributes:
        ends: 0, where derivatives jump, and the cutoff (Å).
        intervals: of each part, on the coarsest grid.
        spacing: what an interval of the coarsest grid is long in terms of the argument.
    """

    ends: list[float]
    intervals: list[int]
    spacing: float

    @staticmethod
    def of(ends: list[float]) -> Pieces:
        """Some 64 intervals between the first and the last end."""
        spacing = ends[-1] / _FEWEST_INTERVALS
        counts = [max(4, round((b - a) / spacing)) for a, b in pairwise(ends)]
        return Pieces(ends, counts, spacing)

    @property
    def begins(self) -> list[int]:
        """The first interval of each part on the coarsest grid, and the end of the last one."""
        sums = [0]
        for count in self.intervals:
            sums.append(sums[-1] + count + _DEGREE)
        return [*sums[:-1], sums[-1] - _DEGREE]

    @property
    def length(self) -> float:
        """The argument at the cutoff."""
        return self.begins[-1] * self.spacing

    @property
    def slopes(self) -> list[float]:
        """Of the argument on each part."""
        parts = zip(self.ends, self.ends[1:], self.intervals, strict=False)
        return [count * self.spacing / (end - begin) for begin, end, count in parts]

    def distances(self) -> Distances:
        """The module that computes the argument."""
        if len(self.intervals) == 1:
            return Distances()
        begins = [begin * self.spacing for begin in self.begins[:-1]]
        return PiecewiseDistances(self.ends[1:-1], begins, self.slopes)


@torch.no_grad()
def _fit(
    function: RadialFunction, expansion: Expansion, pieces: Pieces, accuracy: float
) -> tuple[Tensor, float]:
    """Coefficients of splines through a function's values, and the largest error between them."""

    def values(r: Tensor) -> Tensor:
        found: Tensor = function(expansion(r))
        return found

    finer = 1
    while True:
        table = _interpolate(values, pieces, finer)
        error = _error(values, table, pieces, finer)
        if error <= accuracy or finer * _FEWEST_INTERVALS >= _MOST_INTERVALS:
            return table, error
        finer *= 2


def _interpolate(values: Callable[[Tensor], Tensor], pieces: Pieces, finer: int) -> Tensor:
    """Coefficients of the splines that meet the functions at the knots: [intervals + 5, K].

    Args:
        values: of the functions, of distances.
        pieces: the coarsest grid.
        finer: how many intervals one of the coarsest grid is divided into.
    """
    parts = [
        _interpolate_piece(values, begin, end, count * finer, pieces.ends[-1])
        for begin, end, count in zip(pieces.ends, pieces.ends[1:], pieces.intervals, strict=False)
    ]
    table = parts[0].new_zeros(pieces.begins[-1] * finer + _DEGREE, parts[0].size(1))
    for begin, part in zip(pieces.begins, parts, strict=False):
        table[begin * finer : begin * finer + len(part)] = part
    return table


def _interpolate_piece(
    values: Callable[[Tensor], Tensor], begin: float, end: float, intervals: int, cutoff: float
) -> Tensor:
    """The same of one piece.

    The five conditions beyond the intervals: the middle of the first two and of the last one, and
    value and slope at the end, both exactly zero where the functions' vanish.
    """
    spacing = (end - begin) / intervals
    place = torch.arange(intervals + 1, dtype=torch.float64)
    place = torch.cat([place, torch.tensor([0.5, 1.5, intervals - 0.5], dtype=torch.float64)])
    place[0] = 1e-6  # 0 / 0 at the distance 0
    r = begin + place * spacing
    r[intervals] *= 1.0 - 1e-12  # where the end ends the functions, their limit
    found = values(r)
    largest = found.abs().max()
    step = 1e-4 * cutoff
    behind = values(end - step * torch.arange(1, 5, dtype=torch.float64))
    shares = torch.tensor([-48.0, 36.0, -16.0, 3.0], dtype=torch.float64)
    slope = (25.0 * found[intervals] + shares @ behind) / (12.0 * step)
    slope = torch.where(slope.abs() * cutoff < 1e-5 * largest, torch.zeros_like(slope), slope)
    last = found[intervals]
    found[intervals] = torch.where(last.abs() < 1e-10 * largest, torch.zeros_like(last), last)

    first = place.floor().clamp(max=intervals - 1)
    splines = _pieces(place - first, _DEGREE)
    rows = torch.zeros(intervals + 5, intervals + 5, dtype=torch.float64)
    columns = first.long().unsqueeze(1) + torch.arange(6)
    rows[:-1].scatter_(1, columns, splines)
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


def _error(values: Callable[[Tensor], Tensor], table: Tensor, pieces: Pieces, finer: int) -> float:
    """The largest difference between knots, in parts of the largest value."""
    between = torch.tensor([0.11, 0.29, 0.5, 0.74, 0.93], dtype=torch.float64)
    distances = []
    for begin, end, count in zip(pieces.ends, pieces.ends[1:], pieces.intervals, strict=False):
        place = torch.arange(count * finer, dtype=torch.float64).unsqueeze(1) + between
        distances.append(begin + place.flatten() * ((end - begin) / (count * finer)))
    r = torch.cat(distances)
    exact = values(r)
    difference = torch.ops.torchml.spline(pieces.distances()(r), table, pieces.length) - exact
    largest = exact.abs().max()
    return 0.0 if largest == 0 else float(difference.abs().max() / largest)
