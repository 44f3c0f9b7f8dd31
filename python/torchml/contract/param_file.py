"""The `.param` file of a portable model, in the layout of KLIFF and of the original driver."""

from __future__ import annotations

from torchml.contract.metadata import ModelMetadata
from torchml.errors import ModelError

_HAS_LAYERS = ("graph", "edges")
_PREPROCESSING = {"raw": "None"}  # the others by their names


def render(metadata: ModelMetadata, model_file: str, number_of_inputs: int) -> str:
    """Return the text of the `.param` file.

    The original driver reads by line: the order of the sections and the blank lines are part of the
    format.

    Args:
        metadata: convention, species, cutoff (Å) and layers must be known, and for the convention
            descriptor the kind of the descriptor.
        model_file: name of the model archive beside the `.param` file.
        number_of_inputs: arguments of the model's `forward`.

    Raises:
        ModelError: the metadata lack one of these.
    """
    needed = ["convention", "species", "cutoff", "layers"]
    if metadata.convention == "descriptor":
        needed.append("descriptor")
    for key in needed:
        if getattr(metadata, key) is None:
            raise ModelError(f"the metadata lack '{key}', expected it for the .param file")
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
        _PREPROCESSING.get(metadata.convention, metadata.convention.capitalize()),
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
