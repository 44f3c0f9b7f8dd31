"""The descriptor library, compiled from descriptor/: the same C++ code that the KIM driver runs."""

from typing import ClassVar, TypedDict

import numpy as np
import numpy.typing as npt

class Error(RuntimeError): ...

class SymmetryFunction:
    class Kind:
        g1: ClassVar[SymmetryFunction.Kind]
        g2: ClassVar[SymmetryFunction.Kind]
        g3: ClassVar[SymmetryFunction.Kind]
        g4: ClassVar[SymmetryFunction.Kind]
        g5: ClassVar[SymmetryFunction.Kind]
        __members__: ClassVar[dict[str, SymmetryFunction.Kind]]
        def __init__(self, value: int) -> None: ...
        def __index__(self) -> int: ...
        def __int__(self) -> int: ...
        def __eq__(self, other: object) -> bool: ...
        def __ne__(self, other: object) -> bool: ...
        def __hash__(self) -> int: ...
        @property
        def name(self) -> str: ...
        @property
        def value(self) -> int: ...

    def __init__(
        self,
        kind: SymmetryFunction.Kind,
        *,
        eta: float = 0.0,
        shift: float = 0.0,
        kappa: float = 0.0,
        zeta: float = 1.0,
        lambda_: float = 1.0,
    ) -> None: ...
    @property
    def kind(self) -> SymmetryFunction.Kind: ...
    @property
    def eta(self) -> float: ...
    @property
    def shift(self) -> float: ...
    @property
    def kappa(self) -> float: ...
    @property
    def zeta(self) -> float: ...
    @property
    def lambda_(self) -> float: ...

class _Kind:
    @property
    def species(self) -> list[str]: ...
    @property
    def cutoffs(self) -> npt.NDArray[np.float64]: ...

class SymmetryFunctionsParameters(_Kind):
    def __init__(
        self, species: list[str], cutoffs: npt.ArrayLike, functions: list[SymmetryFunction]
    ) -> None: ...
    @property
    def functions(self) -> list[SymmetryFunction]: ...

class BispectrumParameters(_Kind):
    def __init__(
        self,
        species: list[str],
        cutoffs: npt.ArrayLike,
        *,
        twojmax: int = 8,
        rfac0: float = 0.99363,
        diagonalstyle: int = 3,
        rmin0: float = 0.0,
        switch_flag: bool = True,
        bzero_flag: bool = False,
        weights: list[float] = ...,
    ) -> None: ...
    @property
    def twojmax(self) -> int: ...
    @property
    def rfac0(self) -> float: ...
    @property
    def diagonalstyle(self) -> int: ...
    @property
    def rmin0(self) -> float: ...
    @property
    def switch_flag(self) -> bool: ...
    @property
    def bzero_flag(self) -> bool: ...
    @property
    def weights(self) -> list[float]: ...

class SoapParameters(_Kind):
    def __init__(
        self,
        species: list[str],
        cutoffs: npt.ArrayLike,
        *,
        n_max: int = 4,
        l_max: int = 4,
        cutoff: float,
        eta: float = 0.5,
    ) -> None: ...
    @property
    def n_max(self) -> int: ...
    @property
    def l_max(self) -> int: ...
    @property
    def cutoff(self) -> float: ...
    @property
    def eta(self) -> float: ...

class XiParameters(_Kind):
    def __init__(
        self, species: list[str], cutoffs: npt.ArrayLike, *, q: int = 4, cutoff: float
    ) -> None: ...
    @property
    def q(self) -> int: ...
    @property
    def cutoff(self) -> float: ...

Parameters = SymmetryFunctionsParameters | BispectrumParameters | SoapParameters | XiParameters

class _Gradient(TypedDict, total=False):
    positions: npt.NDArray[np.float64]
    virial: npt.NDArray[np.float64]
    particle_virials: npt.NDArray[np.float64]

class Descriptor:
    def __init__(self, parameters: Parameters) -> None: ...
    @property
    def parameters(self) -> Parameters: ...
    @property
    def width(self) -> int: ...
    def compute(
        self,
        positions: npt.ArrayLike,
        species: npt.ArrayLike,
        centers: npt.ArrayLike,
        offsets: npt.ArrayLike,
        neighbors: npt.ArrayLike,
        threads: int = 0,
    ) -> npt.NDArray[np.float64]: ...
    def pull_back(
        self,
        positions: npt.ArrayLike,
        species: npt.ArrayLike,
        centers: npt.ArrayLike,
        offsets: npt.ArrayLike,
        neighbors: npt.ArrayLike,
        cotangent: npt.ArrayLike,
        *,
        virial: bool = False,
        particle_virials: bool = False,
        threads: int = 0,
    ) -> _Gradient: ...
    def compute_edges(
        self,
        center_species: npt.ArrayLike,
        offsets: npt.ArrayLike,
        species: npt.ArrayLike,
        vectors: npt.ArrayLike,
        threads: int = 0,
    ) -> npt.NDArray[np.float64]: ...
    def pull_back_edges(
        self,
        center_species: npt.ArrayLike,
        offsets: npt.ArrayLike,
        species: npt.ArrayLike,
        vectors: npt.ArrayLike,
        cotangent: npt.ArrayLike,
        threads: int = 0,
    ) -> npt.NDArray[np.float64]: ...
    def jacobian_edges(
        self,
        center_species: npt.ArrayLike,
        offsets: npt.ArrayLike,
        species: npt.ArrayLike,
        vectors: npt.ArrayLike,
        threads: int = 0,
    ) -> npt.NDArray[np.float64]: ...

def kind_name(parameters: Parameters) -> str: ...
def parse_parameters(text: str, kind: str, source: str) -> Parameters: ...
def format_parameters(parameters: Parameters) -> str: ...
