"""The descriptor of a model that is exported: where its parameters are, and what follows from them.

The parameters go beside the model, as descriptor.dat, and into its archive, which then needs no
other file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchml import _descriptors
from torchml.contract.metadata import ModelMetadata
from torchml.descriptors import load_parameters
from torchml.errors import FileError, ModelError, TorchMLError

DESCRIPTOR_FILE = "descriptor.dat"


@dataclass(frozen=True)
class ExportedDescriptor:
    """Parameters of a descriptor and the name of the file that they are from."""

    parameters: _descriptors.Parameters
    source: str

    @property
    def kind(self) -> str:
        """As `.param` files call it."""
        return _descriptors.kind_name(self.parameters)

    @property
    def text(self) -> str:
        """The content of a descriptor.dat."""
        return _descriptors.format_parameters(self.parameters)

    @property
    def width(self) -> int:
        """Numbers per atom."""
        return _descriptors.Descriptor(self.parameters).width

    @property
    def cutoffs(self) -> NDArray[np.float64]:
        """Of each pair of species: [S, S], Å."""
        return np.asarray(self.parameters.cutoffs)


def find_descriptor(
    archive: ModelMetadata, model: Path, file: Path | None
) -> ExportedDescriptor | None:
    """The descriptor that the file has, or else the archive; None where there is neither.

    Throws TorchMLError when they are not the same.
    """
    given = None if file is None else ExportedDescriptor(_loaded(file), str(file))
    if archive.descriptor_parameters is None:
        return given
    embedded = ExportedDescriptor(
        _descriptors.parse_parameters(
            archive.descriptor_parameters, archive.descriptor or "", str(model)
        ),
        str(model),
    )
    if given and given.parameters != embedded.parameters:
        raise ModelError(
            f"the parameters of the descriptor in {file} are not those in {model}, expected the "
            "same; leave out --descriptor to take those of the model"
        )
    return embedded


def _loaded(file: Path) -> _descriptors.Parameters:
    parameters = load_parameters(file).to_core()
    try:
        _descriptors.Descriptor(parameters)
    except TorchMLError as error:  # numbers that are too large
        raise FileError(f"{file}: {error}") from None
    return parameters


def facts_of(descriptor: ExportedDescriptor) -> ModelMetadata:
    """The facts about a model that follow from its descriptor."""
    return ModelMetadata(
        convention="descriptor",
        species=tuple(descriptor.parameters.species),
        cutoff=float(descriptor.cutoffs.max()),
        descriptor=descriptor.kind,
        descriptor_parameters=descriptor.text,
    )
