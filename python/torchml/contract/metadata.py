"""What a model archive says about itself.

An archive, TorchScript or compiled, carries its metadata as extra files, one per key:
`torchml/cutoff` holds the text `4.0`. Readers that do not know them ignore them.
"""

from __future__ import annotations

import math
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchml.errors import TorchMLError

if TYPE_CHECKING:
    import torch

FORMAT = 1
PREFIX = "torchml/"

CHOICES = {
    "convention": ("none", "graph", "edges", "descriptor"),
    "dtype": ("float32", "float64"),
    "input_dtype": ("float32", "float64"),
    "species_input": ("code", "atomic_number"),
    "edges": ("symmetric", "directed"),
}


@dataclass(frozen=True)
class ModelMetadata:
    """Facts about a model; None means that nothing is said.

    Attributes:
        convention: how `forward` is called: none, graph, edges or descriptor.
        species: chemical symbols in the order of the species codes.
        cutoff: radius of one neighbour list (Å).
        layers: message-passing layers; the influence distance is `layers * cutoff`.
        dtype: float type of the model, float32 or float64.
        input_dtype: float type of what it is given, where that is not its own.
        species_input: what the first argument holds, code or atomic_number.
        edges: edges of a staged graph, symmetric (i,j) and (j,i), or directed (into the target).
        returns_forces: the model returns (energy, derivative) rather than the energy alone.
        radial: energy depends on the lengths of the edge vectors only (convention edges).
        extensions: operator libraries that must be loaded before the model, names or paths.
        descriptor: kind of the descriptor (convention descriptor), as in a `.param` file.
        descriptor_parameters: its parameters, the text of a descriptor.dat.
        inputs: of a compiled archive, the tensors it takes: name:type[sizes] for each.
        device: of a compiled archive, cpu or cuda.
        instruction_set: of a compiled archive, what the processor must have.
        torch: of a compiled archive, the version of torch that compiled it.
    """

    convention: str | None = None
    species: tuple[str, ...] | None = None
    cutoff: float | None = None
    layers: int | None = None
    dtype: str | None = None
    input_dtype: str | None = None
    species_input: str | None = None
    edges: str | None = None
    returns_forces: bool | None = None
    radial: bool | None = None
    extensions: tuple[str, ...] | None = None
    descriptor: str | None = None
    descriptor_parameters: str | None = None
    inputs: str | None = None
    device: str | None = None
    instruction_set: str | None = None
    torch: str | None = None

    def __post_init__(self) -> None:
        for key, allowed in CHOICES.items():
            value = getattr(self, key)
            if value is not None and value not in allowed:
                raise TorchMLError(f"{key} is '{value}', expected {' | '.join(allowed)}")
        if self.species is not None and not self.species:
            raise TorchMLError("species is empty, expected at least one chemical symbol")
        if self.species is not None and len(set(self.species)) != len(self.species):
            raise TorchMLError(f"species is '{' '.join(self.species)}': a symbol occurs twice")
        if self.cutoff is not None and not (math.isfinite(self.cutoff) and self.cutoff > 0):
            raise TorchMLError(f"cutoff is {self.cutoff}, expected a positive length in Å")
        if self.layers is not None and self.layers < 1:
            raise TorchMLError(f"layers is {self.layers}, expected at least 1")

    def to_fields(self) -> dict[str, str]:
        """The known facts as text, by key."""
        texts = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value != ():
                texts[field.name] = _to_text(value)
        return texts

    @classmethod
    def from_fields(cls, texts: Mapping[str, str]) -> ModelMetadata:
        """The inverse of `to_fields`; absent keys and empty texts say nothing."""
        values: dict[str, Any] = {}
        for key, text in texts.items():
            if key not in _PARSERS:
                known = " ".join(_PARSERS)
                raise TorchMLError(f"metadata key '{key}' is unknown, expected one of: {known}")
            if text.strip():
                values[key] = _PARSERS[key](key, text.strip())
        return cls(**values)

    def to_extra_files(self) -> dict[str, str]:
        """The extra files of a TorchScript archive that say this."""
        texts = {"format": str(FORMAT), **self.to_fields()}
        return {PREFIX + key: text for key, text in texts.items()}

    @classmethod
    def from_extra_files(cls, files: Mapping[str, str], source: str | Path) -> ModelMetadata:
        """Metadata from the extra files of the archive `source` (named in errors)."""
        texts = {key.removeprefix(PREFIX): text for key, text in files.items()}
        written_as = texts.pop("format", "").strip()
        if written_as != str(FORMAT):
            raise TorchMLError(
                f"{source}: {PREFIX}format is '{written_as}', this version reads format {FORMAT}"
            )
        try:
            return cls.from_fields(texts)
        except TorchMLError as error:
            raise TorchMLError(f"{source}: {PREFIX}{error}") from None


def read(path: str | Path) -> ModelMetadata | None:
    """Metadata of the archive at `path`; None when it carries none."""
    return parse(extra_files(path), path)


def parse(files: Mapping[str, bytes], source: str | Path) -> ModelMetadata | None:
    """Metadata in the extra files of the archive `source`; None when there is none."""
    try:
        texts = {
            name: content.decode() for name, content in files.items() if name.startswith(PREFIX)
        }
    except UnicodeDecodeError as error:
        raise TorchMLError(f"{source}: the metadata is not text ({error})") from None
    return ModelMetadata.from_extra_files(texts, source) if texts else None


def extra_files(path: str | Path) -> dict[str, bytes]:
    """All extra files of a TorchScript archive, by name.

    The archive is read as the zip file that it is: no model code runs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                name.split("/extra/", 1)[1]: archive.read(name)
                for name in archive.namelist()
                if "/extra/" in name
            }
    except FileNotFoundError:
        raise TorchMLError(f"{path}: no such file, expected a TorchScript archive") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise TorchMLError(f"{path}: not a readable TorchScript archive ({error})") from None


def save(
    model: torch.jit.ScriptModule,
    path: str | Path,
    metadata: ModelMetadata,
    others: Mapping[str, bytes] | None = None,
) -> None:
    """Write the archive of `model` with its metadata; a crash leaves no half-written file.

    `others` are extra files that are not ours and shall be in the archive too.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        # The archive records its own name, so the temporary file bears the final one.
        temporary = Path(scratch) / path.name
        with quiet_torchscript():
            model.save(str(temporary), _extra_files={**(others or {}), **metadata.to_extra_files()})
        os.replace(temporary, path)


@contextmanager
def quiet_torchscript() -> Iterator[None]:
    """Silence torch's notice that TorchScript is deprecated, and nothing else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is", DeprecationWarning)
        yield


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return " ".join(value)
    return repr(value) if isinstance(value, float) else str(value)


def _text(key: str, text: str) -> str:
    return text


def _words(key: str, text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _float(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise TorchMLError(f"{key} is '{text}', expected a number") from None


def _int(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise TorchMLError(f"{key} is '{text}', expected a whole number") from None


def _bool(key: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise TorchMLError(f"{key} is '{text}', expected true | false")
    return text == "true"


_PARSERS = {
    "convention": _text,
    "species": _words,
    "cutoff": _float,
    "layers": _int,
    "dtype": _text,
    "input_dtype": _text,
    "species_input": _text,
    "edges": _text,
    "returns_forces": _bool,
    "radial": _bool,
    "extensions": _words,
    "descriptor": _text,
    "descriptor_parameters": _text,
    "inputs": _text,
    "device": _text,
    "instruction_set": _text,
    "torch": _text,
}
