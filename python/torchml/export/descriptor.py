"""The descriptor of a model that is exported: where its parameters are, and what follows from them.

The parameters go beside the model, as descriptor.dat, and into its archive, which then needs no
other file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import torchml._core as core
from torchml import _descriptors
from torchml.contract.metadata import ModelMetadata
from torchml.descriptors import load_parameters
from torchml.errors import TorchMLError
from torchml.export.checks.numbers import Check

DESCRIPTOR_FILE = "descriptor.dat"


@dataclass(frozen=True)
class Descriptor:
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


def find_descriptor(archive: ModelMetadata, model: Path, file: Path | None) -> Descriptor | None:
    """The descriptor that the file has, or else the archive; None where there is neither.

    Throws TorchMLError when they are not the same.
    """
    given = None if file is None else Descriptor(_loaded(file), str(file))
    if archive.descriptor_parameters is None:
        return given
    embedded = Descriptor(
        _descriptors.parse_parameters(
            archive.descriptor_parameters, archive.descriptor or "", str(model)
        ),
        str(model),
    )
    if given and given.parameters != embedded.parameters:
        raise TorchMLError(
            f"the parameters of the descriptor in {file} are not those in {model}, expected the "
            "same; leave out --descriptor to take those of the model"
        )
    return embedded


def _loaded(file: Path) -> _descriptors.Parameters:
    parameters = load_parameters(file).to_core()
    try:
        _descriptors.Descriptor(parameters)
    except TorchMLError as error:  # numbers that are too large
        raise TorchMLError(f"{file}: {error}") from None
    return parameters


def facts_of(descriptor: Descriptor) -> ModelMetadata:
    """What a descriptor tells about its model."""
    return ModelMetadata(
        convention="descriptor",
        species=tuple(descriptor.parameters.species),
        cutoff=float(descriptor.cutoffs.max()),
        descriptor=descriptor.kind,
        descriptor_parameters=descriptor.text,
    )


def check_width(
    module: torch.jit.ScriptModule, facts: ModelMetadata, descriptor: Descriptor
) -> Check:
    """The network takes as many numbers per atom as the descriptor has."""
    name, width = "width of the descriptor", descriptor.width
    if (reason := _refusal(module, facts, width)) is None:
        return Check(name, "pass", f"{width} numbers per atom, {descriptor.kind}")
    sizes = {size for one in module.parameters() for size in one.shape if size != width}
    # The largest first: one number is added to any.
    taken = next((n for n in sorted(sizes)[::-1] if _refusal(module, facts, n) is None), None)
    if taken is None:
        return Check(name, "fail", f"forward stops: {reason}")
    detail = (
        f"the network takes {taken} numbers per atom, but the descriptor in {descriptor.source}, "
        f"{descriptor.kind}, has {width}"
    )
    return Check(name, "fail", detail)


def _refusal(module: torch.jit.ScriptModule, facts: ModelMetadata, width: int) -> str | None:
    """Why the network stops at descriptors of this width; None where it does not."""
    dtype = torch.float32 if facts.dtype == "float32" else torch.float64
    inputs = [torch.zeros(3, width, dtype=dtype)]
    if facts.species_input is not None:
        first = (facts.species or ())[0]
        code = core.atomic_number(first) if facts.species_input == "atomic_number" else 0
        inputs.append(torch.full((3,), code))
    try:
        with torch.no_grad():
            module(*inputs)
    except (RuntimeError, torch.jit.Error) as error:
        return str(error).strip().splitlines()[-1]
    return None
