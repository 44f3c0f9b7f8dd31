"""The metadata of a model archive.

An archive, TorchScript or compiled, carries its metadata as extra files, one per key:
`torchml/cutoff` holds the text `4.0`. Programs that do not know them ignore them. The table of keys
and the rules of their values are those of the driver (`torchml.contract.keys`).
"""

from __future__ import annotations

import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from torchml.contract import keys
from torchml.contract.archives import check_archive, open_zip
from torchml.errors import FileError

if TYPE_CHECKING:
    import torch

FORMAT = 1


class MetadataKeywords(TypedDict, total=False):
    """Metadata as keywords of `Potential` and `Calculator`, for archives that lack them.

    Attributes are those of `ModelMetadata`.
    """

    convention: str
    species: str | Sequence[str]
    cutoff: float
    layers: int
    shell_cutoffs: str | Sequence[str]
    dtype: str
    input_dtype: str
    species_input: str
    stage_edges: str
    returns_forces: bool
    members: int
    radial: bool
    extensions: str | Sequence[str]
    descriptor: str
    descriptor_parameters: str


@dataclass(frozen=True)
class ModelMetadata:
    """Facts about a model; None means unknown.

    Attributes:
        convention: how `forward` is called: raw, graph, edges or descriptor.
        species: chemical symbols in the order of the species codes.
        cutoff: radius of one neighbour list (Å).
        layers: message-passing layers; the influence distance is `layers * cutoff`.
        shell_cutoffs: lengths of the edges into the atoms of each shell (Å, as texts), where they
            differ (convention edges); the influence distance is their sum.
        dtype: float type of the model, float32 or float64.
        input_dtype: float type of its inputs, where it differs from `dtype`.
        species_input: what the species argument holds, code or atomic_number.
        stage_edges: edges of a staged graph (convention graph): symmetric, (i,j) and (j,i), or
            directed, into the target only.
        returns_forces: the model returns (energy, derivative) instead of the energy alone.
        members: members of a committee, whose energies the archive returns (convention edges).
        radial: the energy depends on the lengths of the edge vectors only (convention edges).
        extensions: operator libraries to load before the model, names or paths.
        descriptor: kind of the descriptor (convention descriptor), as in a `.param` file.
        descriptor_parameters: its parameters, the text of a descriptor.dat.
        inputs: of a compiled archive, its tensors: name:type[sizes] for each.
        device: of a compiled archive, cpu or cuda.
        instruction_set: of a compiled archive, what the processor must have.
        torch: of a compiled archive, the version of torch that compiled it.
        name: of the model.
        authors: one entry per author.
        references: one entry per publication.
        training_data: what the model was trained on.
        torchml_version: version of TorchML that wrote the archive.
        receptive_field: distance up to which atoms matter (Å).
        precision: float types of weights and sums.
    """

    convention: str | None = None
    species: tuple[str, ...] | None = None
    cutoff: float | None = None
    layers: int | None = None
    shell_cutoffs: tuple[str, ...] | None = None
    dtype: str | None = None
    input_dtype: str | None = None
    species_input: str | None = None
    stage_edges: str | None = None
    returns_forces: bool | None = None
    members: int | None = None
    radial: bool | None = None
    extensions: tuple[str, ...] | None = None
    descriptor: str | None = None
    descriptor_parameters: str | None = None
    inputs: str | None = None
    device: str | None = None
    instruction_set: str | None = None
    torch: str | None = None
    name: str | None = None
    authors: tuple[str, ...] | None = None
    references: tuple[str, ...] | None = None
    training_data: str | None = None
    torchml_version: str | None = None
    receptive_field: float | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        """Check the values, and replace older names of choices."""
        values = keys.parse(self.to_fields(), "the arguments")
        for field in fields(self):
            object.__setattr__(self, field.name, values.get(field.name))

    def to_fields(self) -> dict[str, str]:
        """Return the known facts as text, by key."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: keys.to_text(name, value) for name, value in values.items() if value is not None
        }

    @classmethod
    def from_fields(cls, texts: Mapping[str, str], source: str = "the arguments") -> ModelMetadata:
        """Read facts from text; absent keys and empty texts are unknown.

        Args:
            texts: text by key; older names of keys are read too.
            source: where the texts were read, for messages.

        Raises:
            TorchMLError: a key is unknown or its text is wrong.
        """
        values: dict[str, Any] = keys.parse(texts, source)
        values.pop("format", None)
        return cls(**values)

    @classmethod
    def from_keywords(cls, keywords: Mapping[str, Any]) -> ModelMetadata:
        """Read facts from the keywords of a call.

        Args:
            keywords: those of `MetadataKeywords`; older names of keys are read too.

        Raises:
            TypeError: a keyword is unknown.
            TorchMLError: a value is wrong.
        """
        known = MetadataKeywords.__annotations__
        texts = {}
        for keyword, value in keywords.items():
            key = keys.find_key(keyword)
            if key is None or key.name not in known:
                raise TypeError(f"unknown keyword '{keyword}', expected one of {', '.join(known)}")
            if value is not None:
                texts[key.name] = keys.to_text(key.name, value)
        return cls.from_fields(texts)

    def to_extra_files(self) -> dict[str, str]:
        """Return the extra files of an archive with these facts: text by file name."""
        return keys.extra_files({"format": str(FORMAT), **self.to_fields()}, "the metadata")

    @classmethod
    def from_extra_files(cls, files: Mapping[str, str], source: str | Path) -> ModelMetadata:
        """Read the metadata among the extra files of the archive `source` (named in errors)."""
        texts = {name: text for file, text in files.items() if (name := keys.key_of_file(file))}
        return cls.from_fields(texts, str(source))


def read(path: str | Path) -> ModelMetadata | None:
    """Read the metadata of the archive at `path`; None when it carries none.

    Raises:
        FileError: the file is not there, or is no archive.
        TorchMLError: the metadata are wrong.
    """
    return parse(extra_files(path), path)


def parse(files: Mapping[str, bytes], source: str | Path) -> ModelMetadata | None:
    """Read the metadata among the extra files of an archive; None when there are none.

    Args:
        files: content by file name.
        source: the archive, for messages.

    Raises:
        TorchMLError: the metadata are wrong.
    """
    try:
        texts = {
            name: content.decode() for name, content in files.items() if keys.key_of_file(name)
        }
    except UnicodeDecodeError as error:
        raise FileError(f"{source}: the metadata are not text ({error})") from None
    return ModelMetadata.from_extra_files(texts, source) if texts else None


def extra_files(path: str | Path) -> dict[str, bytes]:
    """Return all extra files of an archive by name, metadata included.

    The archive is read as a zip file: no code of the model runs.

    Raises:
        FileError: the file is not there, or is no archive.
    """
    try:
        with open_zip(path) as archive:
            check_archive(path, "TorchScript archive")
            return {
                name.split("/extra/", 1)[1]: archive.read(name)
                for name in archive.namelist()
                if "/extra/" in name
            }
    except FileNotFoundError:
        raise FileError(f"{path}: no such file, expected a TorchScript archive") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise FileError(f"{path}: not a readable TorchScript archive ({error})") from None


def save(
    model: torch.jit.ScriptModule,
    path: str | Path,
    metadata: ModelMetadata,
    others: Mapping[str, bytes] | None = None,
) -> None:
    """Write the archive of a model with its metadata; a crash leaves no half-written file.

    Args:
        model: the scripted model.
        path: file to write; missing folders are created.
        metadata: facts to write as extra files.
        others: extra files of other programs, by name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        # The archive records its own name: the temporary file has the final one.
        temporary = Path(scratch) / path.name
        with quiet_torchscript():
            model.save(str(temporary), _extra_files={**(others or {}), **metadata.to_extra_files()})
        os.replace(temporary, path)


@contextmanager
def quiet_torchscript() -> Iterator[None]:
    """Silence torch's notice that TorchScript is deprecated, and nothing else."""
    with warnings.catch_warnings():
        # A DeprecationWarning in torch 2.13, a FutureWarning in 2.15.
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is")
        yield
