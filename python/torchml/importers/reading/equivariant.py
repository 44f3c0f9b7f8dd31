"""Maps of e3nn's features as matrices by kind of representation.

e3nn and the packages that use it normalize weights in many ways, and versions differ in the signs
of coupling coefficients. So the matrix of a map is read from its values at unit vectors: that is
what the package computes. Functions here take modules in float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from .source import ReadingError

Places = dict[str, tuple[list[int], int]]


def places(irreps: Any) -> Places:
    """Of each kind of representation, the columns of its first component, and its block.

    Blocks are numbered by the kinds in their order.
    """
    columns: dict[str, list[int]] = {}
    for (count, kind), columns_of in zip(irreps, irreps.slices(), strict=True):
        found = columns.setdefault(str(kind), [])
        found += [columns_of.start + u * kind.dim for u in range(count)]
    return {kind: (where, k) for k, (kind, where) in enumerate(columns.items())}


@dataclass(frozen=True)
class Linear:
    """An equivariant map x -> x W + b, by kind of representation.

    Attributes:
        matrices: [U, U'] of each kind that occurs on both sides.
        bias: [U'] of the kind 0e; all zero for most maps.
    """

    matrices: dict[str, Tensor]
    bias: Tensor


def linear(function: Callable[[Tensor], Tensor], irreps_in: Any, irreps_out: Any) -> Linear:
    """An equivariant map that is linear, or linear but for constants that it adds to scalars.

    Args:
        function: the map, [n, D] -> [n, D'].
        irreps_in: representations of the D columns.
        irreps_out: of the D' columns.
    """
    unit = torch.eye(irreps_in.dim, dtype=torch.float64)
    constant = function(torch.zeros(1, irreps_in.dim, dtype=torch.float64))
    matrix = function(unit) - constant
    inputs, outputs = places(irreps_in), places(irreps_out)
    scalars = outputs.get("0e", ([], 0))[0]
    return Linear(
        {kind: matrix[inputs[kind][0]][:, outputs[kind][0]] for kind in outputs if kind in inputs},
        constant[0, scalars],
    )


def linear_by_element(
    function: Callable[[Tensor, Tensor], Tensor], one_hot: Tensor, irreps_in: Any, irreps_out: Any
) -> dict[str, Tensor]:
    """The matrices [Z, U, U'] of a map that differs from element to element, by kind.

    Args:
        function: the map of features [n, D] and elements as rows of zeros and a one, [n, Z].
        one_hot: the elements wanted.
        irreps_in: representations of the D columns.
        irreps_out: of the columns of the result.
    """

    def of_element(z: Tensor) -> dict[str, Tensor]:
        return linear(lambda x: function(x, z.expand(len(x), -1)), irreps_in, irreps_out).matrices

    maps = [of_element(z) for z in one_hot]
    return {kind: torch.stack([one[kind] for one in maps]) for kind in maps[0]}


@dataclass(frozen=True)
class Path:
    """One product of features and harmonics.

    Attributes:
        source: kind of the features.
        result: kind of the messages.
        channels: U.
        columns: which of the radial weights are its factors, in the order of the channels.
        place: of its first column in the messages, to sort paths by.
        tensor: coupling [A, B, C] of components, the same for all channels.
    """

    source: str
    result: str
    channels: int
    columns: list[int]
    place: int
    tensor: Tensor


def paths(tensor_product: Any) -> list[Path]:
    """The paths of a product of features and harmonics, in the order of their results.

    Args:
        tensor_product: e3nn's, with one factor for each channel of a path ("uvu", one harmonic).
    """
    one, two = tensor_product.irreps_in1, tensor_product.irreps_in2
    three = tensor_product.irreps_out
    found, begin = [], 0
    for way in tensor_product.instructions:
        first, second, third = one[way.i_in1], two[way.i_in2], three[way.i_out]
        pairs = list(itertools.product(range(first.ir.dim), range(second.ir.dim)))
        x = torch.zeros(len(pairs), one.dim, dtype=torch.float64)
        y = torch.zeros(len(pairs), two.dim, dtype=torch.float64)
        for row, (a, b) in enumerate(pairs):
            x[row, one.slices()[way.i_in1].start + a] = 1.0
            y[row, two.slices()[way.i_in2].start + b] = 1.0
        weights = torch.zeros(len(pairs), tensor_product.weight_numel, dtype=torch.float64)
        columns = list(range(begin, begin + first.mul))
        weights[:, columns] = 1.0
        begin += first.mul
        start = three.slices()[way.i_out].start
        coupling = tensor_product(x, y, weights)[:, start : start + third.ir.dim]
        harmonics = torch.zeros(first.ir.dim, two.dim, third.ir.dim, dtype=torch.float64)
        harmonics[:, two.slices()[way.i_in2]] = coupling.reshape(
            first.ir.dim, second.ir.dim, third.ir.dim
        )
        found.append(Path(str(first.ir), str(third.ir), first.mul, columns, int(start), harmonics))
    return sorted(found, key=lambda path: path.place)


def sharpen(buffer: Tensor) -> None:
    """Replace, in place, a coupling that was rounded to float32 by the same one in float64.

    Args:
        buffer: float64; one that is no multiple of e3nn's coupling stays as it is.
    """
    if buffer.dim() != 3 or any(size % 2 == 0 for size in buffer.shape):
        return
    degrees = [(size - 1) // 2 for size in buffer.shape]
    coupling = import_module("e3nn.o3").wigner_3j(*degrees, dtype=torch.float64)
    factor = float((coupling * buffer).sum())
    if torch.allclose(factor * coupling, buffer, rtol=0, atol=1e-6 * abs(factor)):
        # Factors of normalized couplings are roots of fractions.
        square = Fraction(factor**2).limit_denominator(1000)
        buffer.copy_(math.copysign(math.sqrt(square), factor) * coupling)


def harmonics(function: Callable[[Tensor], Tensor], degree: int) -> tuple[float, list[Tensor]]:
    """Y_0, and Y_{l+1} as bilinear functions of Y_l and the vector, [3 (2l+1), 2l+3] each.

    Args:
        function: spherical harmonics of all degrees up to `degree`, of unit vectors.
        degree: l_max.
    """
    unit = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unit /= unit.norm(dim=1, keepdim=True)
    values = function(unit)
    steps, begin = [], 0
    for size in range(1, 2 * degree + 1, 2):  # 2l + 1
        lower = values[:, begin : begin + size]
        begin += size
        upper = values[:, begin : begin + size + 2]
        pairs = (lower.unsqueeze(2) * unit.unsqueeze(1)).flatten(1)
        # The smallest of all solutions: products of Y_l with the vector hold Y_{l-1} too.
        steps.append(torch.linalg.pinv(pairs, rtol=1e-10) @ upper)
    return float(values[0, 0]), steps


@dataclass(frozen=True)
class Perceptron:
    """Matrix products with one activation between them.

    Attributes:
        weights: [F, F'] of each layer; e3nn's factors are in them.
        activation: name of the function.
    """

    weights: list[Tensor]
    activation: str


def perceptron(network: Sequence[Any]) -> Perceptron:
    """e3nn's fully connected network. Its factors before and after an activation go into the
    matrices."""
    weights, factor, activation = [], 1.0, "identity"
    for layer in network:
        norm = (layer.h_in * layer.var_in) ** 0.5
        if layer.act is None:
            weights.append(layer.weight * (factor * layer.var_out**0.5 / norm))
            continue
        function, constant = activation_of(layer.act)
        activation = named(function)
        weights.append(layer.weight * (factor / norm))
        factor = constant * layer.var_out**0.5
    return Perceptron(weights, activation)


def activation_of(normalized: Any) -> tuple[Any, float]:
    """The function in e3nn's normalized activation, and what its values are multiplied by."""
    return normalized.f, 1.0 if normalized._is_id else float(normalized.cst)


def named(activation: Any) -> str:
    """The name of an activation, which its values tell: functions differ between packages.

    Args:
        activation: a function of a tensor; None is the identity.

    Returns:
        A name that `torchml.importers.networks.radial.activated` takes.

    Raises:
        ReadingError: it is none of these.
    """
    x = torch.linspace(-3.0, 3.0, 13, dtype=torch.float64)
    values = x if activation is None else activation(x)
    for name, function in _ACTIVATIONS.items():
        if torch.allclose(values, function(x), rtol=0, atol=1e-12):
            return name
    raise ReadingError(
        f"the activation {activation} is not supported, expected {' | '.join(_ACTIVATIONS)}"
    )


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
    "abs": torch.abs,
    "ssp": lambda x: torch.nn.functional.softplus(x) - math.log(2.0),
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "elu": torch.nn.functional.elu,
    "gelu": torch.nn.functional.gelu,
    "mish": torch.nn.functional.mish,
}


@dataclass(frozen=True)
class Gated:
    """One kind of what a gate returns: an activation of scalars, or products with scalars.

    Attributes:
        kind: of the result.
        value: kind of the values, and which of its channels they are.
        gate: the same of the scalars that multiply them; None for an activation of the values.
        activation: name of the function of the scalars.
        factor: what its values are multiplied by.
    """

    kind: str
    value: tuple[str, list[int]]
    gate: tuple[str, list[int]] | None
    activation: str
    factor: float


def gated(gate: Any, irreps_out: Any) -> list[Gated]:
    """What e3nn's gate does, by kind of its result.

    Args:
        gate: e3nn's `Gate`.
        irreps_out: representations of its result, in the names of the module that follows.
    """
    inputs = {
        column: (kind, channel)
        for kind, (columns, _) in places(gate.irreps_in).items()
        for channel, column in enumerate(columns)
    }
    unit = torch.eye(gate.irreps_in.dim, dtype=torch.float64)
    scalars, gates, values = (one.argmax(0).tolist() for one in gate.sc(unit))
    functions = _functions(gate.act_scalars)
    of_gates = _functions(gate.act_gates)
    channels = [
        where.start + u * ir.dim
        for (count, ir), where in zip(gate.irreps_gated, gate.irreps_gated.slices(), strict=True)
        for u in range(count)
    ]
    found = []
    for kind, (columns, _) in places(irreps_out).items():
        if columns[0] < len(scalars):
            sources = [inputs[scalars[column]] for column in columns]
            factors = None
            used = [functions[column] for column in columns]
        else:
            sources = [inputs[values[column - len(scalars)]] for column in columns]
            numbers = [channels.index(column - len(scalars)) for column in columns]
            factors = _of_one_kind([inputs[gates[number]] for number in numbers])
            used = [of_gates[number] for number in numbers]
        if len(set(used)) > 1:
            raise ReadingError(f"a gate has several activations for {kind}, expected one")
        found.append(Gated(kind, _of_one_kind(sources), factors, *used[0]))
    return found


def _functions(activation: Any) -> list[tuple[str, float]]:
    """Name and factor of the function of each column of e3nn's `Activation`."""
    found: list[tuple[str, float]] = []
    for (count, ir), function in zip(activation.irreps_in, activation.acts, strict=True):
        one = ("identity", 1.0)
        if function is not None:
            bare, factor = activation_of(function)
            one = (named(bare), factor)
        found += [one] * (count * ir.dim)
    return found


def _of_one_kind(sources: list[tuple[str, int]]) -> tuple[str, list[int]]:
    kinds = {kind for kind, _ in sources}
    if len(kinds) > 1:
        raise ReadingError(f"a gate mixes {' and '.join(sorted(kinds))}, expected one kind")
    return kinds.pop(), [channel for _, channel in sources]
