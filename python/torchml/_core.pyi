"""The engine, compiled from driver/core: the same C++ code that runs inside KIM simulators."""

from typing import Any, Never, TypedDict, overload

import numpy as np
import numpy.typing as npt

class Error(RuntimeError): ...

class ModelSpec:
    """What a model declares about itself."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @property
    def species(self) -> list[str]: ...
    @property
    def cutoff(self) -> float: ...
    @property
    def layers(self) -> int: ...
    @property
    def shell_cutoffs(self) -> list[float]: ...
    @property
    def influence_distance(self) -> float: ...
    @property
    def convention(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def input_dtype(self) -> str: ...
    @property
    def species_input(self) -> str: ...
    @property
    def directed(self) -> bool: ...
    @property
    def returns_forces(self) -> bool: ...
    @property
    def members(self) -> int: ...
    @property
    def radial(self) -> bool: ...
    @property
    def extensions(self) -> list[str]: ...
    @property
    def descriptor(self) -> Any: ...

class Potential:
    """A model ready to evaluate particles: an archive, or the folder of a portable model."""

    def __init__(
        self,
        model: str,
        fields: dict[str, str] = ...,
        device: str = "cpu",
    ) -> None: ...
    @property
    def spec(self) -> ModelSpec: ...
    @property
    def device(self) -> str: ...
    @property
    def energy_kind(self) -> str: ...
    @property
    def argument_names(self) -> list[str]: ...
    def copy(self) -> Potential: ...
    def evaluate(
        self,
        species: npt.ArrayLike,
        coordinates: npt.ArrayLike,
        contributing: npt.ArrayLike,
        neighbor_offsets: npt.ArrayLike,
        neighbors: npt.ArrayLike,
        *,
        image_of: npt.ArrayLike | None = None,
        energy: bool = True,
        particle_energies: bool = False,
        forces: bool = True,
        virial: bool = False,
        particle_virials: bool = False,
        edge_terms: bool = False,
        members: bool = False,
    ) -> dict[str, Any]: ...

class _ShellGraph(TypedDict):
    nodes: npt.NDArray[np.int64]
    edge_index: npt.NDArray[np.int64]
    node_counts: list[int]
    edge_counts: list[int]

def shell_graph(
    coordinates: npt.ArrayLike,
    contributing: npt.ArrayLike,
    neighbor_offsets: npt.ArrayLike,
    neighbors: npt.ArrayLike,
    cutoff: float,
    layers: int,
) -> _ShellGraph: ...
def staged_graph(
    coordinates: npt.ArrayLike,
    contributing: npt.ArrayLike,
    neighbor_offsets: npt.ArrayLike,
    neighbors: npt.ArrayLike,
    cutoff: float,
    layers: int,
    directed: bool = False,
) -> list[npt.NDArray[np.int64]]: ...
def atomic_number(symbol: str) -> int: ...
def read_param_file(path: str) -> dict[str, str]: ...
def archive_of_folder(folder: str) -> str: ...
def read_metadata(path: str) -> dict[str, str]: ...
@overload
def check_archive(content: bytes) -> None: ...
@overload
def check_archive(path: str) -> None: ...
@overload
def check_zip(content: bytes) -> None: ...
@overload
def check_zip(path: str) -> None: ...
def require_fit(path: str, device: str = ...) -> None: ...

class _MetadataKey(TypedDict):
    name: str
    aliases: list[str]  # older names
    kind: str  # string, number, integer, list, lines, flag or choice
    choices: list[str]
    choice_aliases: dict[str, str]  # older names of choices
    place: str  # archive, provenance or param
    meaning: str

def metadata_keys() -> list[_MetadataKey]: ...
def parse_metadata(
    fields: dict[str, str], source: str = "the metadata"
) -> dict[str, str | float | int | list[str] | bool]: ...
def merge_metadata(
    declarations: list[tuple[str, dict[str, str]]],
) -> dict[str, str | float | int | list[str] | bool]: ...
def metadata_files(fields: dict[str, str], source: str = "the metadata") -> dict[str, str]: ...
def metadata_key_of_file(file: str) -> str: ...

class _Launcher(TypedDict):
    name: str
    local_rank: str
    local_size: str
    rank: str
    size: str

def launchers() -> list[_Launcher]: ...
