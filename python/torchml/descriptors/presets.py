"""Published sets of hyper-parameters, by name.

set51            51 symmetry functions for copper (N. Artrith and J. Behler, Phys. Rev. B 85,
                 045439 (2012)), as KLIFF has them
set30            30 symmetry functions for copper and zinc oxide (N. Artrith, B. Hiller and
                 J. Behler, Phys. Status Solidi B 250, 1191 (2013)), as KLIFF has them
centered         Gaussians around the atom whose widths fill the cutoff evenly, g2 and g4 (the first
                 scheme of M. Gastegger et al., J. Chem. Phys. 148, 241709 (2018))
shifted          the same with g2 on shells at even distances (their second scheme)
snap_2j6, snap_2j8    30 and 55 bispectrum components as LAMMPS computes them by default
                 (A. P. Thompson et al., J. Comput. Phys. 285, 316 (2015))
bs_defaults, soap_defaults    what KLIFF calls so

The numbers of set51 and set30 are published in units of the Bohr radius, and were made for cutoffs
of 6 to 6.5 Å. `centered` and `shifted` adapt to the cutoff.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from torchml.descriptors.checks import finite, whole
from torchml.descriptors.parameters import (
    SOAP,
    Bispectrum,
    Cutoff,
    Parameters,
    SymmetryFunction,
    SymmetryFunctions,
)
from torchml.errors import TorchMLError

# Å, with which KLIFF has converted the published numbers.
_BOHR = 0.529177


def preset(name: str, species: Sequence[str], cutoff: Cutoff, **options: Any) -> Parameters:
    """The named set for these species and cutoffs (Å).

    `centered` and `shifted` take options: `radial` and `angular`, the numbers of widths (default 8
    and 4), `zetas` of the angular functions (default 1, 2, 4, 16), and `first`, the smallest
    distance that is resolved (default 0.8 Å).
    """
    if name not in PRESETS:
        raise TorchMLError(f"the preset '{name}' is unknown, expected one of: {' '.join(PRESETS)}")
    make = PRESETS[name]
    known = list(inspect.signature(make).parameters)[2:]
    for option in options:
        if option not in known:
            raise TorchMLError(
                f"the option '{option}' of the preset {name} is unknown, expected "
                + (f"one of: {' '.join(known)}" if known else "none")
            )
    return make(species, cutoff, **options)


def _set51(species: Sequence[str], cutoff: Cutoff) -> SymmetryFunctions:
    angular = [
        (eta, zeta, sign)
        for eta, zetas in (
            *((eta, (1, 2)) for eta in (0.0001, 0.003, 0.008)),
            *((eta, (1, 2, 4, 16)) for eta in (0.015, 0.025, 0.045, 0.08)),
        )
        for zeta in zetas
        for sign in (-1, 1)
        if (eta, zeta, sign) != (0.08, 16, -1)
    ]
    return _published(species, cutoff, 0.001, angular)


def _set30(species: Sequence[str], cutoff: Cutoff) -> SymmetryFunctions:
    angular = [
        (eta, zeta, sign)
        for eta, zetas, signs in (
            *((eta, (1, 2), (-1, 1)) for eta in (0.0001, 0.003)),
            *((eta, (1, 2), (1,)) for eta in (0.008,)),
            *((eta, (1, 2, 4, 16), (1,)) for eta in (0.015, 0.025, 0.045)),
        )
        for zeta in zetas
        for sign in signs
    ]
    return _published(species, cutoff, 0.0009, angular)


def _published(
    species: Sequence[str],
    cutoff: Cutoff,
    first: float,
    angular: Iterable[tuple[float, float, float]],
) -> SymmetryFunctions:
    """Radial functions that both sets share but for the first; eta in 1/bohr²."""
    etas = (first, 0.01, 0.02, 0.035, 0.06, 0.1, 0.2, 0.4)
    functions = [SymmetryFunction("g2", eta=eta / _BOHR**2) for eta in etas]
    functions += [
        SymmetryFunction("g4", eta=eta / _BOHR**2, zeta=zeta, lambda_=sign)
        for eta, zeta, sign in angular
    ]
    return SymmetryFunctions(species, cutoff, functions)


def _centered(
    species: Sequence[str],
    cutoff: Cutoff,
    radial: int = 8,
    angular: int = 4,
    zetas: Sequence[float] = (1, 2, 4, 16),
    first: float = 0.8,
) -> SymmetryFunctions:
    widths = _grid(species, cutoff, first, "radial", radial)
    functions = [SymmetryFunction("g2", eta=_eta(width)) for width in widths]
    functions += _angular(_grid(species, cutoff, first, "angular", angular), zetas)
    return SymmetryFunctions(species, cutoff, functions)


def _shifted(
    species: Sequence[str],
    cutoff: Cutoff,
    radial: int = 8,
    angular: int = 4,
    zetas: Sequence[float] = (1, 2, 4, 16),
    first: float = 0.8,
) -> SymmetryFunctions:
    shells = _grid(species, cutoff, first, "radial", radial)
    spacing = shells[1] - shells[0] if len(shells) > 1 else shells[0]
    functions = [SymmetryFunction("g2", eta=_eta(spacing), Rs=shell) for shell in shells]
    functions += _angular(_grid(species, cutoff, first, "angular", angular), zetas)
    return SymmetryFunctions(species, cutoff, functions)


def _grid(
    species: Sequence[str], cutoff: Cutoff, first: float, name: str, number: int
) -> list[float]:
    """Even distances up to where the cutoff function leaves something, Å."""
    first, count = finite("first of a preset", first), whole(f"{name} of a preset", number)
    last = 0.9 * SymmetryFunctions(species, cutoff, ["g1"]).largest_cutoff
    if count < 1 or not 0 < first < last:
        raise TorchMLError(
            f"{count} functions from {first} Å are asked for, expected at least 1 and a positive "
            f"distance below {last:g} Å"
        )
    return [float(one) for one in np.linspace(first, last, count)]


def _eta(width: float) -> float:
    return 0.5 / width**2


def _angular(widths: Iterable[float], zetas: Sequence[float]) -> list[SymmetryFunction]:
    if isinstance(zetas, str) or not isinstance(zetas, Iterable):
        raise TorchMLError(f"zetas of a preset are {zetas!r}, expected a list of numbers")
    return [
        SymmetryFunction("g4", eta=_eta(width), zeta=zeta, lambda_=sign)
        for width in widths
        for zeta in zetas
        for sign in (-1, 1)
    ]


def _bs_defaults(species: Sequence[str], cutoff: Cutoff) -> Bispectrum:
    return Bispectrum(species, cutoff)


def _snap(twojmax: int) -> Callable[[Sequence[str], Cutoff], Bispectrum]:
    def make(species: Sequence[str], cutoff: Cutoff) -> Bispectrum:
        return Bispectrum(species, cutoff, twojmax=twojmax, bzero_flag=True)

    return make


def _soap_defaults(species: Sequence[str], cutoff: Cutoff) -> SOAP:
    return SOAP(species, cutoff, n_max=4, l_max=4, eta=0.5, radial_cutoff=4.0)


PRESETS: dict[str, Callable[..., Parameters]] = {
    "set51": _set51,
    "set30": _set30,
    "centered": _centered,
    "shifted": _shifted,
    "snap_2j6": _snap(6),
    "snap_2j8": _snap(8),
    "bs_defaults": _bs_defaults,
    "soap_defaults": _soap_defaults,
}
