"""How closely numbers must agree, by the float type of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from torchml.errors import TorchMLError

# Differences are relative to the largest value, or to this if all values are smaller: forces that
# cancel, as in a perfect crystal, have no relative accuracy.
SMALLEST_SCALE = 0.1  # eV per atom, eV/Å


@dataclass(frozen=True)
class Tolerances:
    """Largest relative differences, and the steps of finite differences.

    parity       the same model through two programs
    symmetry     the same structure rotated, shifted, reordered or repeated
    derivative   forces and virial against differences of the energy
    step         Å, of an atom
    strain       of the cell
    """

    parity: float
    symmetry: float
    derivative: float
    step: float
    strain: float


# Single precision: seven digits in each term of an energy, fewer in a difference of terms.
BY_DTYPE = {
    "float64": Tolerances(parity=1e-10, symmetry=1e-9, derivative=1e-6, step=1e-4, strain=1e-5),
    "float32": Tolerances(parity=1e-4, symmetry=1e-4, derivative=5e-2, step=2e-2, strain=2e-3),
}


def tolerances(dtype: str) -> Tolerances:
    """Return the tolerances for a model of this float type."""
    if dtype not in BY_DTYPE:
        raise TorchMLError(f"the model's dtype is '{dtype}', expected {' or '.join(BY_DTYPE)}")
    return BY_DTYPE[dtype]


def difference(value: ArrayLike, expected: ArrayLike, atoms: int = 1) -> float:
    """Return the largest difference relative to the largest expected value.

    Args:
        value: any shape.
        expected: same shape; another one gives infinity.
        atoms: number of atoms in a sum (energies and virials): scales the smallest denominator.

    Returns:
        A relative difference; infinity for nan and inf.
    """
    value, expected = np.asarray(value, dtype=float), np.asarray(expected, dtype=float)
    if value.shape != expected.shape:
        return float("inf")
    if value.size == 0:
        return 0.0
    scale = max(float(np.abs(expected).max()), SMALLEST_SCALE * atoms)
    figure = float(np.abs(value - expected).max()) / scale
    return figure if np.isfinite(figure) else float("inf")
