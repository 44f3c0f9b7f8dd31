"""The parameters of each kind of descriptor, as plain data.

Every kind has `species`, in the order of the species codes, and `cutoff`: one number for all pairs
of species, or one for each pair, {"Si-Si": 5.0, "Si-C": 4.0, "C-C": 4.0} (Å). The other names are
those of KLIFF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from torchml import _descriptors as core
from torchml.descriptors.checks import finite, flag, positive, whole
from torchml.descriptors.presets import find_preset
from torchml.descriptors.symmetry_function import (
    FunctionKind,
    SymmetryFunction,
    functions_of,
    rows_of,
)
from torchml.errors import TorchMLError

Cutoff = float | Mapping[str, float]


@dataclass(frozen=True)
class Parameters:
    """Common parameters of all kinds; an abstract base class."""

    kind: ClassVar[str] = ""

    species: Sequence[str]
    cutoff: Cutoff

    def __post_init__(self) -> None:
        if isinstance(self.species, (str, Mapping)) or not self.species:
            raise TorchMLError(
                f"species of {self.kind} is {self.species!r}, expected a list of symbols"
            )
        for symbol in self.species:
            if not isinstance(symbol, str):
                # YAML 1.1 takes nobelium, No, for false.
                raise TorchMLError(
                    f"species of {self.kind} holds {symbol!r}, expected symbols (in YAML, in "
                    "quotes: 'No')"
                )
        self._set("species", tuple(str(symbol) for symbol in self.species))
        if len(set(self.species)) != len(self.species):
            raise TorchMLError(
                f"species of {self.kind} is '{' '.join(self.species)}': a symbol occurs twice"
            )
        self._set("cutoff", self._checked_cutoff())

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _checked_cutoff(self) -> float | dict[str, float]:
        """Return one number if all pairs have the same, else one for each pair in fixed order."""
        if not isinstance(self.cutoff, Mapping):
            return positive(f"cutoff of {self.kind}", self.cutoff)
        found: dict[str, float] = {}
        pairs = {
            name: f"{a}-{b}"
            for a, b in combinations_with_replacement(self.species, 2)
            for name in (f"{a}-{b}", f"{b}-{a}")
        }
        for name, value in self.cutoff.items():
            if name not in pairs:
                raise TorchMLError(
                    f"cutoff of {self.kind} names the pair '{name}', expected one of: "
                    + " ".join(dict.fromkeys(pairs.values()))
                )
            number = positive(f"cutoff of {name}", value)
            if found.setdefault(pairs[name], number) != number:
                raise TorchMLError(
                    f"cutoff of {name} is {number}, but {found[pairs[name]]} of the same pair the "
                    "other way round"
                )
        ordered = dict.fromkeys(pairs.values())
        if missing := [name for name in ordered if name not in found]:
            raise TorchMLError(f"cutoff of {' '.join(missing)} is missing, expected one per pair")
        if len(set(found.values())) == 1:
            return next(iter(found.values()))
        return {name: found[name] for name in ordered}

    @property
    def cutoffs(self) -> NDArray[np.float64]:
        """Cutoff of each pair of species: [S, S] (Å)."""
        count = len(self.species)
        if not isinstance(self.cutoff, Mapping):
            return np.full((count, count), float(self.cutoff))
        matrix = np.empty((count, count))
        for (a, b), value in zip(
            combinations_with_replacement(range(count), 2), self.cutoff.values(), strict=True
        ):
            matrix[a, b] = matrix[b, a] = value
        return matrix

    @property
    def largest_cutoff(self) -> float:
        """Largest cutoff (Å)."""
        return float(self.cutoffs.max())

    def to_core(self) -> core.Parameters:
        """Convert to the type of the C++ library."""
        raise NotImplementedError

    @classmethod
    def _from_core(cls, parameters: Any, cutoff: Cutoff) -> Self:
        raise NotImplementedError

    def details(self) -> Any:
        """Return the value of `parameters` in a YAML file, as plain values."""
        raise NotImplementedError

    @classmethod
    def from_details(cls, species: Sequence[str], cutoff: Cutoff, details: Any) -> Self:
        """Convert from the result of `details`; an unknown name is an error."""
        raise NotImplementedError


@dataclass(frozen=True)
class SymmetryFunctions(Parameters):
    """Symmetry functions of J. Behler, J. Chem. Phys. 134, 074106 (2011).

    Attributes:
        functions: the name of a preset ("set51"), rows of parameters as in KLIFF,
            {"g2": [{"eta": 0.1, "Rs": 0.0}], "g4": [{"zeta": 1, "lambda": -1, "eta": 0.01}]},
            a list of such mappings, or a list of SymmetryFunction; stored as the last. Components
            of the descriptor have this order.
    """

    kind: ClassVar[str] = "SymmetryFunctions"

    functions: str | Mapping[str, Any] | Sequence[Any] = "set51"

    def __post_init__(self) -> None:
        super().__post_init__()
        functions: Any = self.functions
        if isinstance(functions, str):
            found = find_preset(functions)
            if found.kind != self.kind:
                raise TorchMLError(
                    f"the preset {functions} is a {found.kind}, expected symmetry functions"
                )
            functions = found.make(self.largest_cutoff)["functions"]
        self._set("functions", tuple(functions_of(functions)))
        if not self.functions:
            raise TorchMLError("there is no symmetry function, expected at least one")

    def to_core(self) -> core.SymmetryFunctionsParameters:
        functions = [
            core.SymmetryFunction(
                getattr(core.SymmetryFunction.Kind, one.kind),
                eta=one.eta,
                shift=one.Rs,
                kappa=one.kappa,
                zeta=one.zeta,
                lambda_=one.lambda_,
            )
            for one in cast(tuple[SymmetryFunction, ...], self.functions)
        ]
        return core.SymmetryFunctionsParameters(list(self.species), self.cutoffs, functions)

    @classmethod
    def _from_core(cls, parameters: core.SymmetryFunctionsParameters, cutoff: Cutoff) -> Self:
        functions = [
            SymmetryFunction(
                cast(FunctionKind, one.kind.name),
                one.eta,
                one.shift,
                one.kappa,
                one.zeta,
                one.lambda_,
            )
            for one in parameters.functions
        ]
        return cls(parameters.species, cutoff, functions)

    def details(self) -> Any:
        return rows_of(cast(tuple[SymmetryFunction, ...], self.functions))

    @classmethod
    def from_details(cls, species: Sequence[str], cutoff: Cutoff, details: Any) -> Self:
        return cls(species, cutoff, details)


@dataclass(frozen=True)
class Bispectrum(Parameters):
    """Bispectrum of the neighbour density on the 3-sphere, as in SNAP.

    A. P. Bartók et al., Phys. Rev. Lett. 104, 136403 (2010); A. P. Thompson et al., J. Comput.
    Phys. 285, 316 (2015).

    Attributes:
        twojmax: twice the largest angular momentum (KLIFF's jmax is half of it).
        rfac0: fraction of pi that the cutoff is mapped to.
        diagonalstyle: 0 all (j1, j2, j), 1 j1 = j2, 2 j1 = j2 = j, 3 j >= j1 >= j2.
        rmin0: distance that is mapped to the angle 0 (Å).
        switch_flag: neighbours fade out towards the cutoff.
        bzero_flag: the values of an isolated atom are subtracted.
        weights: of the neighbours, by the order of the species or by their symbols; None: all 1.
    """

    kind: ClassVar[str] = "Bispectrum"

    twojmax: int = 8
    rfac0: float = 0.99363
    diagonalstyle: int = 3
    rmin0: float = 0.0
    switch_flag: bool = True
    bzero_flag: bool = False
    weights: Sequence[float] | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("twojmax", "diagonalstyle"):
            self._set(name, whole(f"{name} of {self.kind}", getattr(self, name)))
        for name in ("rfac0", "rmin0"):
            self._set(name, finite(f"{name} of {self.kind}", getattr(self, name)))
        for name in ("switch_flag", "bzero_flag"):
            self._set(name, flag(f"{name} of {self.kind}", getattr(self, name)))
        weights: Any = (1.0,) * len(self.species) if self.weights is None else self.weights
        if isinstance(weights, Mapping):
            if set(weights) != set(self.species):
                raise TorchMLError(
                    f"weights of {self.kind} are those of {' '.join(weights)}, expected one for "
                    f"each of: {' '.join(self.species)}"
                )
            weights = [weights[symbol] for symbol in self.species]
        if np.shape(weights) != (len(self.species),):
            raise TorchMLError(
                f"weights of {self.kind} are {weights!r}, expected {len(self.species)} numbers"
            )
        self._set("weights", tuple(finite(f"a weight of {self.kind}", one) for one in weights))

    def to_core(self) -> core.BispectrumParameters:
        return core.BispectrumParameters(
            list(self.species),
            self.cutoffs,
            twojmax=self.twojmax,
            rfac0=self.rfac0,
            diagonalstyle=self.diagonalstyle,
            rmin0=self.rmin0,
            switch_flag=self.switch_flag,
            bzero_flag=self.bzero_flag,
            weights=list(cast(tuple[float, ...], self.weights)),
        )

    @classmethod
    def _from_core(cls, parameters: core.BispectrumParameters, cutoff: Cutoff) -> Self:
        return cls(
            parameters.species,
            cutoff,
            parameters.twojmax,
            parameters.rfac0,
            parameters.diagonalstyle,
            parameters.rmin0,
            parameters.switch_flag,
            parameters.bzero_flag,
            parameters.weights or None,
        )

    def details(self) -> Any:
        names = ("twojmax", "rfac0", "diagonalstyle", "rmin0", "switch_flag", "bzero_flag")
        weights = list(cast(tuple[float, ...], self.weights))
        return {**{name: getattr(self, name) for name in names}, "weights": weights}

    @classmethod
    def from_details(cls, species: Sequence[str], cutoff: Cutoff, details: Any) -> Self:
        own = ("twojmax", "rfac0", "diagonalstyle", "rmin0", "switch_flag", "bzero_flag", "weights")
        values = _known(cls.kind, details, (*own, "jmax", "use_shared_array"))
        if values.pop("use_shared_array", False):  # of KLIFF, without an effect on the values
            raise TorchMLError(f"use_shared_array of {cls.kind} is true, expected false")
        if "jmax" in values:
            if "twojmax" in values:
                raise TorchMLError(f"{cls.kind} has jmax and twojmax, expected one of them")
            values["twojmax"] = 2 * finite(f"jmax of {cls.kind}", values.pop("jmax"))
        return cls(species, cutoff, **values)


@dataclass(frozen=True)
class SOAP(Parameters):
    """Power spectrum of smooth overlaps of atomic positions.

    A. P. Bartók, R. Kondor and G. Csányi, Phys. Rev. B 87, 184115 (2013).

    Attributes:
        n_max: radial functions.
        l_max: largest degree of the spherical harmonics.
        eta: 1/(2 sigma²) of the Gaussians (1/Å²).
        radial_cutoff: where the radial functions vanish (Å); None: the largest of `cutoff`. Its
            name is `cutoff` in KLIFF and in files.
    """

    kind: ClassVar[str] = "SOAP"

    n_max: int = 4
    l_max: int = 4
    eta: float = 0.5
    radial_cutoff: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_max", "l_max"):
            self._set(name, whole(f"{name} of {self.kind}", getattr(self, name)))
        self._set("eta", positive(f"eta of {self.kind}", self.eta))
        radial = self.largest_cutoff if self.radial_cutoff is None else self.radial_cutoff
        self._set("radial_cutoff", positive(f"radial_cutoff of {self.kind}", radial))

    def to_core(self) -> core.SoapParameters:
        return core.SoapParameters(
            list(self.species),
            self.cutoffs,
            n_max=self.n_max,
            l_max=self.l_max,
            cutoff=cast(float, self.radial_cutoff),
            eta=self.eta,
        )

    @classmethod
    def _from_core(cls, parameters: core.SoapParameters, cutoff: Cutoff) -> Self:
        p = parameters
        return cls(p.species, cutoff, p.n_max, p.l_max, p.eta, p.cutoff)

    def details(self) -> Any:
        return {
            "n_max": self.n_max,
            "l_max": self.l_max,
            "cutoff": self.radial_cutoff,
            "radial_basis": "polynomial",
            "eta": self.eta,
        }

    @classmethod
    def from_details(cls, species: Sequence[str], cutoff: Cutoff, details: Any) -> Self:
        values = _known(cls.kind, details, ("n_max", "l_max", "cutoff", "radial_basis", "eta"))
        _only(cls.kind, values, "polynomial")
        return cls(species, cutoff, radial_cutoff=values.pop("cutoff", None), **values)


@dataclass(frozen=True)
class Xi(Parameters):
    """Third-order invariants of the neighbour density in spherical Bessel functions.

    Attributes:
        q: highest level, 0 to 15.
        radial_cutoff: where the radial functions vanish (Å); None: the largest of `cutoff`. Its
            name is `cutoff` in files, which have no other cutoff.
    """

    kind: ClassVar[str] = "Xi"

    q: int = 4
    radial_cutoff: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("q", whole(f"q of {self.kind}", self.q))
        radial = self.largest_cutoff if self.radial_cutoff is None else self.radial_cutoff
        self._set("radial_cutoff", positive(f"radial_cutoff of {self.kind}", radial))

    def to_core(self) -> core.XiParameters:
        radial = cast(float, self.radial_cutoff)
        return core.XiParameters(list(self.species), self.cutoffs, q=self.q, cutoff=radial)

    @classmethod
    def _from_core(cls, parameters: core.XiParameters, cutoff: Cutoff) -> Self:
        return cls(parameters.species, cutoff, parameters.q, parameters.cutoff)

    def details(self) -> Any:
        return {"q": self.q, "cutoff": self.radial_cutoff, "radial_basis": "bessel"}

    @classmethod
    def from_details(cls, species: Sequence[str], cutoff: Cutoff, details: Any) -> Self:
        values = _known(cls.kind, details, ("q", "cutoff", "radial_basis"))
        _only(cls.kind, values, "bessel")
        return cls(species, cutoff, radial_cutoff=values.pop("cutoff", None), **values)


KINDS: dict[str, type[Parameters]] = {
    cls.kind: cls for cls in (SymmetryFunctions, Bispectrum, SOAP, Xi)
}


def from_core(parameters: core.Parameters) -> Parameters:
    """Convert from the type of the C++ library."""
    matrix, species = parameters.cutoffs, parameters.species
    cutoff = {
        f"{species[a]}-{species[b]}": float(matrix[a, b])
        for a, b in combinations_with_replacement(range(len(species)), 2)
    }
    return KINDS[core.kind_name(parameters)]._from_core(parameters, cutoff)


def preset(name: str, species: Sequence[str], cutoff: Cutoff, **options: Any) -> Parameters:
    """Parameters from a published set of hyper-parameters.

    Args:
        name: set51, set30, centered, shifted, snap_2j6, snap_2j8, bs_defaults or soap_defaults, as
            `torchml.descriptors.presets` describes them.
        species: chemical symbols, in the order of the species codes.
        cutoff: one number for all pairs of species, or one for each pair by its name (Å).
        options: of `centered` and `shifted`: `radial` and `angular`, the numbers of widths (default
            8 and 4), `zetas` of the angular functions (default 1, 2, 4, 16), and `first`, the
            smallest distance that is resolved (default 0.8 Å).

    Returns:
        SymmetryFunctions, Bispectrum or SOAP.

    Raises:
        TorchMLError: the name or an option is unknown, or a value is out of range.
    """
    found = find_preset(name)
    found.check_options(name, options)
    cls = KINDS[found.kind]
    return cls(species, cutoff, **found.make(cls(species, cutoff).largest_cutoff, **options))


def _known(kind: str, details: Any, names: Sequence[str]) -> dict[str, Any]:
    if not isinstance(details, Mapping):
        raise TorchMLError(
            f"parameters of {kind} are {details!r}, expected a preset or: {' '.join(names)}"
        )
    for name in details:
        if name not in names:
            raise TorchMLError(
                f"the parameter '{name}' of {kind} is unknown, expected one of: {' '.join(names)}"
            )
    return dict(details)


def _only(kind: str, values: dict[str, Any], basis: str) -> None:
    if (given := values.pop("radial_basis", basis)) != basis:
        raise TorchMLError(f"radial_basis of {kind} is {given!r}, expected '{basis}'")
