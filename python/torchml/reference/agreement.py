"""How closely two results must agree, by the float type of the model, and the report of a check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from torchml.errors import TorchMLError

# Differences are relative to the largest value, or to this if all values are smaller: forces that
# cancel, as in a perfect crystal, have no relative accuracy.
SMALLEST_SCALE = 0.1  # eV per atom, eV/Å


@dataclass(frozen=True)
class Agreement:
    """Largest relative differences for a float type, and the steps of finite differences.

    Attributes:
        parity: the same model in two programs.
        symmetry: the same structure rotated, shifted, reordered or repeated.
        derivative: forces and virial against central differences of the energy.
        step: of an atom in these differences (Å).
        strain: of the cell in these differences.
        slope: forces against five-point differences of the energy.
        slope_steps: of an atom in these differences (Å).
        elastic: elastic constants from the stress against those from the energy.
        elastic_strain: of a crystal in these differences.
        drift: of the energy of a simulation (meV per atom and ps), not relative.
        epsilon: distance from 1 to the next number of this type.
    """

    parity: float
    symmetry: float
    derivative: float
    step: float
    strain: float
    slope: float
    slope_steps: tuple[float, ...]
    elastic: float
    elastic_strain: float
    drift: float
    epsilon: float


# Single precision: seven digits in each term of an energy, fewer in a difference of terms.
BY_DTYPE = {
    "float64": Agreement(
        parity=1e-10,
        symmetry=1e-9,
        derivative=1e-6,
        step=1e-4,
        strain=1e-5,
        slope=1e-6,
        slope_steps=(1e-3, 3e-4, 1e-4),
        elastic=0.01,
        elastic_strain=1e-3,
        drift=0.02,
        epsilon=2.2e-16,
    ),
    "float32": Agreement(
        parity=1e-4,
        symmetry=1e-4,
        derivative=5e-2,
        step=2e-2,
        strain=2e-3,
        slope=2e-3,
        slope_steps=(2e-2, 1e-2, 5e-3),
        elastic=0.05,
        elastic_strain=1e-2,
        drift=0.1,
        epsilon=1.2e-7,
    ),
}


def agreement(dtype: str) -> Agreement:
    """Return what agreement means for a model of this float type."""
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
    relative = float(np.abs(value - expected).max()) / scale
    return relative if np.isfinite(relative) else float("inf")


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: what was checked.
        verdict: pass, warn or fail.
        detail: figures, or the reason of a failure.
        structure: name of the structure, if the check is of one.
        difference: relative difference, if two results were compared.
        tolerance: largest difference that passes.
    """

    name: str
    verdict: str
    detail: str = ""
    structure: str = ""
    difference: float | None = None
    tolerance: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the verdict is pass."""
        return self.verdict == "pass"


def compared(name: str, structure: str, difference: float, tolerance: float) -> Check:
    """Return the check of a relative difference, which passes up to the tolerance."""
    good = difference <= tolerance  # False for NaN
    detail = "" if good else f"{difference:.3e} exceeds {tolerance:.0e}"
    return Check(name, "pass" if good else "fail", detail, structure, difference, tolerance)


def holds(name: str, structure: str, good: bool, reason: str) -> Check:
    """Return the check of a statement, which passes if it holds; else its reason is shown."""
    return Check(name, "pass" if good else "fail", "" if good else reason, structure)


def failure(name: str, structure: str, error: Exception | str) -> Check:
    """Return the failed check of a computation that raised an error."""
    text = " ".join(str(error).split())
    return Check(name, "fail", text or type(error).__name__, structure)
