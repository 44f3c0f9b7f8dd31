"""Readable names of the components of a descriptor, in the order of the output."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import cast

from torchml.descriptors.parameters import (
    SOAP,
    Bispectrum,
    Parameters,
    SymmetryFunctions,
    Xi,
)
from torchml.descriptors.symmetry_function import SymmetryFunction
from torchml.errors import TorchMLError


def labels_of(parameters: Parameters) -> list[str]:
    """Return a name for each component."""
    if isinstance(parameters, SymmetryFunctions):
        functions = cast(tuple[SymmetryFunction, ...], parameters.functions)
        return [_function(function) for function in functions]
    if isinstance(parameters, Bispectrum):
        return [
            f"B 2j1={j1} 2j2={j2} 2j={j}"
            for j1, j2, j in bispectrum_indices(parameters.twojmax, parameters.diagonalstyle)
        ]
    if isinstance(parameters, SOAP):
        return [
            f"p {a}-{b} n={n} n'={m} l={degree}"
            for a, b in combinations_with_replacement(parameters.species, 2)
            for n, m in combinations_with_replacement(range(parameters.n_max), 2)
            for degree in range(parameters.l_max + 1)
        ]
    if isinstance(parameters, Xi):
        return [f"xi n={n} l={degrees}" for n, degrees in xi_indices(parameters.q)]
    raise TorchMLError(f"{parameters!r} is no descriptor, expected parameters of one of its kinds")


def _function(function: SymmetryFunction) -> str:
    values = " ".join(f"{name}={value:.6g}" for name, value in function.row().items())
    return f"{function.kind} {values}".rstrip()


def bispectrum_indices(twojmax: int, style: int) -> list[tuple[int, int, int]]:
    """Return (2 j1, 2 j2, 2 j) of each component."""
    if style == 2:
        return [(j, j, j) for j in range(twojmax + 1)]
    return [
        (j1, j2, j)
        for j1 in range(twojmax + 1)
        for j2 in range(j1 + 1)
        for j in range(j1 - j2, min(twojmax, j1 + j2) + 1, 2)
        if style == 0 or (style == 1 and j2 == j1) or (style == 3 and j >= j1)
    ]


def xi_indices(q: int) -> list[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    """Return ((n0, n1, n2), (l0, l1, l2)) of each component."""
    indices = []
    for n0 in range(q + 1):
        for n1 in range(min(n0, q - n0) + 1):
            for n2 in range(min(n1, q - n0 - n1) + 1):
                largest = 2 * (q - n0 - n1 - n2)
                for l0 in range(largest + 1):
                    for l1 in range(largest - l0 + 1):
                        for l2 in range(abs(l0 - l1), min(l0 + l1, largest - l0 - l1) + 1, 2):
                            if (n0 == n1 and l0 < l1) or (n1 == n2 and l1 < l2):
                                continue
                            indices.append(((n0, n1, n2), (l0, l1, l2)))

    def place(index: tuple[tuple[int, int, int], tuple[int, int, int]]) -> tuple[int, ...]:
        n, degrees = index
        level = 2 * sum(n) + sum(degrees)
        return level, sum(n), *(-k for k in n), *(-k for k in degrees)

    return sorted(indices, key=place)
