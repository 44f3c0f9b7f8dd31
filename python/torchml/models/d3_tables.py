"""Tables and damping parameters of D3, from the package tad-dftd3.

S. Ehlert and M. Friede, https://github.com/dftd3/tad-dftd3, Apache License 2.0. The package is
needed where a model is built, not where it runs: the model holds what its elements need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ase.data import atomic_numbers
from ase.units import Bohr, Hartree

from torchml.errors import TorchMLError

INSTALL = "pip install tad-dftd3==0.7.0"
# Å; dftd3 converts its radii with the value of CODATA 2018, and ASE everything with that of 2014.
_BOHR_OF_DFTD3 = 0.529177210903


def tables_of(species: Sequence[str]) -> dict[str, Any]:
    """Return what D3 needs of some elements, as plain values.

    Args:
        species: chemical symbols.

    Returns:
        radii: covalent radii of the coordination numbers, times 4/3 (Å).
        moments: square roots of the ratios of the moments r^4 and r^2 (Å).
        coordination: coordination numbers of the references of each element.
        c6: for each pair of elements [s][t], t >= s: the coefficients of their references, by that
            of s and that of t (eV Å^6).

    Raises:
        TorchMLError: tad-dftd3 is not installed, or has no references of an element.
    """
    _require_package()
    from tad_dftd3.data import R4R2
    from tad_dftd3.reference import Reference
    from tad_mctc.data import COV_D3
    from tad_mctc.units import length

    reference = Reference(dtype=torch.float64, device=torch.device("cpu"))
    numbers = [atomic_numbers[symbol] for symbol in species]
    known = reference.cn.size(0)
    if missing := [symbol for symbol in species if atomic_numbers[symbol] >= known]:
        raise TorchMLError(f"D3 has no references of {' '.join(missing)}")
    radii, moments = COV_D3(dtype=torch.float64), R4R2(dtype=torch.float64)
    counts = [int((reference.cn[z] >= 0).sum()) for z in numbers]
    unit = Hartree * Bohr**6
    radius_unit = length.AU2AA * Bohr / _BOHR_OF_DFTD3
    return {
        "radii": [float(radii[z]) * radius_unit for z in numbers],
        "moments": [float(moments[z]) * Bohr for z in numbers],
        "coordination": [
            reference.cn[z, :n].tolist() for z, n in zip(numbers, counts, strict=True)
        ],
        "c6": [
            [
                (unit * reference.c6[a, b, :n, :m]).tolist()
                for b, m in list(zip(numbers, counts, strict=True))[k:]
            ]
            for k, (a, n) in enumerate(zip(numbers, counts, strict=True))
        ],
    }


def damping_of(functional: str) -> dict[str, float]:
    """Return s6, s8, a1 and a2 (Å) of the damping of Becke and Johnson.

    Args:
        functional: as dftd3 spells it, in any case: PBE, PBEsol, r2SCAN, B3LYP, ...

    Raises:
        TorchMLError: tad-dftd3 is not installed, or does not know the functional.
    """
    _require_package()
    from tad_dftd3.param import get_functional_params

    try:
        values = get_functional_params(functional, damping="bj", dtype=torch.float64)
    except (KeyError, ValueError):
        raise TorchMLError(
            f"D3 has no parameters of the functional '{functional}' for the damping of Becke and "
            "Johnson, expected a name of dftd3 such as PBE, PBEsol, RPBE, r2SCAN or B3LYP"
        ) from None
    named = {name: float(values[name]) for name in ("s6", "s8", "a1", "a2")}
    return named | {"a2": named["a2"] * Bohr}


def _require_package() -> None:
    try:
        import tad_dftd3  # noqa: F401
    except ImportError:
        raise TorchMLError(
            "D3 takes its tables from the package tad-dftd3, which is not installed here; "
            f"expected it where the model is built: {INSTALL}"
        ) from None
