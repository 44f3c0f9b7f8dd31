"""Polynomials of atomic tensors that no rotation and no reflection changes.

An atom's tensors are numbers x_lm that turn like the real harmonics Y_lm. Their invariant
polynomials are the null space of the three infinitesimal rotations, of which two generate the
third; each set of degrees l_1 <= l_2 <= .. has its own. Reflections leave those alone whose degrees
have an even sum. For orders two and three they are the power spectrum and the bispectrum (A. P.
Bartók, R. Kondor and G. Csányi, Phys. Rev. B 87, 184115 (2013)); all orders together are the basis
of the atomic cluster expansion (R. Drautz, Phys. Rev. B 99, 014104 (2019)).
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ZERO = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Invariants:
    """Invariant polynomials as sums of monomials.

    Attributes:
        monomials: the factors of each: rows l * l + l + m of the tensors, in ascending order.
        coefficients: [monomials, invariants].
        orders: number of factors of each invariant.
    """

    monomials: list[tuple[int, ...]]
    coefficients: Floats
    orders: list[int]


def invariants(degrees: list[int]) -> Invariants:
    """Return a basis of the invariants of order one, two, three, ...

    Args:
        degrees: highest l of the factors, for order two and the orders after it. Scalars (l = 0)
            stand alone: their powers and products with others are left out.
    """
    found: list[dict[tuple[int, ...], float]] = [{(0,): 1.0}]
    for order, highest in enumerate(degrees, 2):
        for chosen in itertools.combinations_with_replacement(range(1, highest + 1), order):
            if sum(chosen) % 2 == 0:
                found += _of_degrees(chosen)
    monomials = sorted({m for polynomial in found for m in polynomial}, key=lambda m: (len(m), m))
    place = {monomial: k for k, monomial in enumerate(monomials)}
    coefficients = np.zeros((len(monomials), len(found)))
    for k, polynomial in enumerate(found):
        for monomial, value in polynomial.items():
            coefficients[place[monomial], k] = value
    return Invariants(monomials, coefficients, [len(next(iter(p))) for p in found])


def _of_degrees(degrees: tuple[int, ...]) -> list[dict[tuple[int, ...], float]]:
    """The invariants that have one factor of each of these degrees."""
    rows = [range(l * l, (l + 1) ** 2) for l in degrees]  # noqa: E741
    monomials = sorted({tuple(sorted(rows)) for rows in itertools.product(*rows)})
    place = {monomial: k for k, monomial in enumerate(monomials)}
    turns = np.zeros((2, len(monomials), len(monomials)))
    for monomial, k in place.items():
        for j, row in enumerate(monomial):
            l = math.isqrt(row)  # noqa: E741
            rest = monomial[:j] + monomial[j + 1 :]
            for turn, rotation in zip(turns, rotations(l), strict=True):
                for other, value in enumerate(rotation[row - l * l]):
                    if value:
                        turn[place[tuple(sorted((*rest, l * l + other)))], k] += value
    _, sizes, directions = np.linalg.svd(turns.reshape(-1, len(monomials)))
    null = _reduced(directions[int((sizes > _ZERO).sum()) :])
    return [
        {m: float(v) for m, v in zip(monomials, row, strict=True) if abs(v) > _ZERO}
        for row in null / np.linalg.norm(null, axis=1, keepdims=True)
    ]


def rotations(l: int) -> tuple[Floats, Floats]:  # noqa: E741
    """Return the derivatives of Y_lm by the angle of a rotation about x and about z.

    Row m of a matrix has the coefficients of the harmonics in the derivative of Y_lm. The real
    harmonics are those of `torchml::density`: m > 0 goes with cos(m phi), m < 0 with sin(|m| phi),
    without the sign (-1)^m of Condon and Shortley.
    """
    orders = np.arange(-l, l + 1)
    raising = np.diag(np.sqrt(l * (l + 1) - orders[:-1] * (orders[:-1] + 1.0)), -1)
    x, z = (raising + raising.T) / 2, np.diag(orders).astype(float)
    real = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)  # of the complex harmonics
    real[l, l] = 1.0
    for m in range(1, l + 1):
        sign = (-1.0) ** m
        real[l + m, l + m], real[l + m, l - m] = sign / math.sqrt(2), 1 / math.sqrt(2)
        real[l - m, l + m], real[l - m, l - m] = -1j * sign / math.sqrt(2), 1j / math.sqrt(2)
    turned = [(real @ (1j * generator).T @ real.conj().T).real for generator in (x, z)]
    return np.round(turned[0], 12), np.round(turned[1], 12)


def _reduced(rows: Floats) -> Floats:
    """The row echelon form: the same space, with few numbers that are not zero."""
    rows = rows.copy()
    done = 0
    for column in range(rows.shape[1]):
        if done == len(rows):
            break
        pivot = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[pivot, column]) < _ZERO:
            continue
        rows[[done, pivot]] = rows[[pivot, done]]
        rows[done] /= rows[done, column]
        others = np.arange(len(rows)) != done
        rows[others] -= np.outer(rows[others, column], rows[done])
        done += 1
    return rows
