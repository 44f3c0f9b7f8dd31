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
bs_defaults, soap_defaults    the sets of these names in KLIFF

The numbers of set51 and set30 are published in units of the Bohr radius, and were made for cutoffs
of 6 to 6.5 Å. `centered` and `shifted` adapt to the cutoff.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from torchml.descriptors.checks import finite, whole
from torchml.errors import TorchMLError

# Bohr radius in Å, as in KLIFF.
_BOHR = 0.529177


@dataclass(frozen=True)
class Preset:
    """A set of hyper-parameters.

    Attributes:
        kind: of the descriptor.
        make: a function of the largest cutoff (Å) and of options; it returns the arguments of the
            parameters of this kind.
    """

    kind: str
    make: Callable[..., dict[str, Any]]

    def check_options(self, name: str, options: Mapping[str, Any]) -> None:
        """Raise an error that names the first unknown option."""
        known = list(inspect.signature(self.make).parameters)[1:]
        for option in options:
            if option not in known:
                raise TorchMLError(
                    f"the option '{option}' of the preset {name} is unknown, expected "
                    + (f"one of: {' '.join(known)}" if known else "none")
                )


def find_preset(name: str) -> Preset:
    """Return the set of this name; an unknown name is an error that lists the names."""
    if name not in PRESETS:
        raise TorchMLError(f"the preset '{name}' is unknown, expected one of: {' '.join(PRESETS)}")
    return PRESETS[name]


def _set51(cutoff: float) -> dict[str, Any]:
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
    return _published(0.001, angular)


def _set30(cutoff: float) -> dict[str, Any]:
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
    return _published(0.0009, angular)


def _published(first: float, angular: Iterable[tuple[float, float, float]]) -> dict[str, Any]:
    """Return set51 or set30, which differ in the first g2 and in g4; eta in 1/bohr²."""
    etas = (first, 0.01, 0.02, 0.035, 0.06, 0.1, 0.2, 0.4)
    radial = [_g2(eta / _BOHR**2) for eta in etas]
    return _functions(radial, [_g4(eta / _BOHR**2, zeta, sign) for eta, zeta, sign in angular])


def _centered(
    cutoff: float,
    radial: int = 8,
    angular: int = 4,
    zetas: Sequence[float] = (1, 2, 4, 16),
    first: float = 0.8,
) -> dict[str, Any]:
    widths = _grid(cutoff, first, "radial", radial)
    radial_rows = [_g2(_eta(width)) for width in widths]
    return _functions(radial_rows, _angular(_grid(cutoff, first, "angular", angular), zetas))


def _shifted(
    cutoff: float,
    radial: int = 8,
    angular: int = 4,
    zetas: Sequence[float] = (1, 2, 4, 16),
    first: float = 0.8,
) -> dict[str, Any]:
    shells = _grid(cutoff, first, "radial", radial)
    spacing = shells[1] - shells[0] if len(shells) > 1 else shells[0]
    radial_rows = [_g2(_eta(spacing), shell) for shell in shells]
    return _functions(radial_rows, _angular(_grid(cutoff, first, "angular", angular), zetas))


def _grid(cutoff: float, first: float, name: str, number: int) -> list[float]:
    """Return even distances from the first to 0.9 of the cutoff (Å)."""
    first, count = finite("first of a preset", first), whole(f"{name} of a preset", number)
    last = 0.9 * cutoff
    if count < 1 or not 0 < first < last:
        raise TorchMLError(
            f"{count} functions from {first} Å are asked for, expected at least 1 and a positive "
            f"distance below {last:g} Å"
        )
    return [float(r) for r in np.linspace(first, last, count)]


def _eta(width: float) -> float:
    return 0.5 / width**2


def _angular(widths: Iterable[float], zetas: Sequence[float]) -> list[dict[str, Any]]:
    if isinstance(zetas, str) or not isinstance(zetas, Iterable):
        raise TorchMLError(f"zetas of a preset are {zetas!r}, expected a list of numbers")
    return [_g4(_eta(width), zeta, sign) for width in widths for zeta in zetas for sign in (-1, 1)]


def _g2(eta: float, shift: float = 0.0) -> dict[str, Any]:
    return {"eta": eta, "Rs": shift}


def _g4(eta: float, zeta: float, sign: float) -> dict[str, Any]:
    return {"zeta": zeta, "lambda": sign, "eta": eta}


def _functions(g2: list[dict[str, Any]], g4: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of parameters, as SymmetryFunctions takes them."""
    return {"functions": {"g2": g2, "g4": g4}}


def _fixed(kind: str, **arguments: Any) -> Preset:
    return Preset(kind, lambda cutoff: arguments)


PRESETS = {
    "set51": Preset("SymmetryFunctions", _set51),
    "set30": Preset("SymmetryFunctions", _set30),
    "centered": Preset("SymmetryFunctions", _centered),
    "shifted": Preset("SymmetryFunctions", _shifted),
    "snap_2j6": _fixed("Bispectrum", twojmax=6, bzero_flag=True),
    "snap_2j8": _fixed("Bispectrum", twojmax=8, bzero_flag=True),
    "bs_defaults": _fixed("Bispectrum"),
    "soap_defaults": _fixed("SOAP", n_max=4, l_max=4, eta=0.5, radial_cutoff=4.0),
}
