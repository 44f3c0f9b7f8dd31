"""The `.param` file of a portable model, in the layout of KLIFF and of the original driver."""

from __future__ import annotations

from torchml.contract.metadata import ModelMetadata
from torchml.errors import TorchMLError

_HAS_LAYERS = ("graph", "edges")


def render(metadata: ModelMetadata, model_file: str, number_of_inputs: int) -> str:
    """Text of the `.param` file.

    The original driver reads by line, so the order of the sections, and which blank lines there
    are, is part of the format.

    Args:
        metadata: convention, species, cutoff (and layers for graph and edges, the kind of the
            descriptor for descriptor) must be known.
        model_file: name of the model archive beside the `.param` file.
        number_of_inputs: arguments of the model's `forward`.
    """
    needed = ["convention", "species", "cutoff", "layers"]
    if metadata.convention == "descriptor":
        needed.append("descriptor")
    for key in needed:
        if getattr(metadata, key) is None:
            raise TorchMLError(f"a .param file needs {key}, but the metadata does not give it")
    assert metadata.convention is not None
    assert metadata.species is not None
    cutoff = [repr(metadata.cutoff)]
    if metadata.convention in _HAS_LAYERS:
        cutoff.append(str(metadata.layers))
    lines = [
        "# Number of species",
        str(len(metadata.species)),
        " ".join(metadata.species),
        "",
        "# Preprocessing kind",
        metadata.convention.capitalize(),
        "",
        "# Cutoff and n_conv layers",
        *cutoff,
        "",
        "# Model",
        model_file,
        "",
        "# Returns Forces",
        str(bool(metadata.returns_forces)),
        "# Number of inputs",
        str(number_of_inputs),
        "",
        "# Any descriptors?",
        metadata.descriptor or "None",
    ]
    return "\n".join(lines) + "\n"
