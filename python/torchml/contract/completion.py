"""Complete metadata from partial ones and from the signature of `forward`.

The names, number and types of the inputs and outputs fix the calling convention, the number of
message-passing layers, the content of the species argument, and whether forces are returned. What
they leave open must be given; what contradicts them is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torchml._core as core
from torchml.contract import keys
from torchml.contract.metadata import ModelMetadata
from torchml.contract.signature import SHELL_COUNTS, Signature
from torchml.errors import ModelError

_T = TypeVar("_T")


def merge(*sources: tuple[str, ModelMetadata]) -> ModelMetadata:
    """Merge metadata of several sources.

    Args:
        sources: name, for messages, and metadata of each source.

    Raises:
        TorchMLError: two sources contradict each other.
    """
    texts = [(name, metadata.to_fields()) for name, metadata in sources]
    merged: dict[str, Any] = keys.merge(*texts)
    return ModelMetadata(**merged)


def complete(partial: ModelMetadata, signature: Signature, model: Path) -> ModelMetadata:
    """Add what follows from the signature.

    Args:
        partial: the known metadata.
        signature: the `forward` of the model.
        model: its file, for messages.

    Returns:
        Metadata that suffice to run the model.

    Raises:
        ModelError: the metadata contradict the signature, or a fact is missing.
    """
    convention = partial.convention or _infer_convention(signature, model)
    if convention == "descriptor" and partial.descriptor is None:
        raise ModelError(
            f"{model} takes a descriptor, but its metadata do not contain the descriptor; pass "
            "--descriptor with the file of its parameters"
        )
    for key in ("species", "cutoff"):
        if getattr(partial, key) is None:
            raise ModelError(f"the metadata of {model} lack its {key}; pass --{key}")
    for symbol in partial.species or ():
        core.atomic_number(symbol)  # raises for unknown elements
    if partial.layers is not None and partial.layers < 1:
        raise ModelError(f"layers is {partial.layers} for {model}, expected at least 1")

    facts = replace(
        partial,
        convention=convention,
        layers=partial.layers or _infer_layers(convention, signature, model),
        dtype=_agree("dtype", partial.dtype, _infer_dtype(signature, model), model),
        species_input=_species_input(convention, partial.species_input, signature, model),
        returns_forces=_agree(
            "returns_forces", partial.returns_forces, _infer_returns_forces(signature, model), model
        ),
    )
    if facts.stage_edges is not None and convention != "graph":
        raise ModelError(
            f"stage_edges is '{facts.stage_edges}', but only the convention 'graph' has a choice "
            f"of edges, and the convention of this model is '{convention}'"
        )
    if convention == "graph":
        facts = replace(facts, stage_edges=facts.stage_edges or "symmetric")
    _require_fitting_arguments(facts, signature, model)
    return facts


def _infer_convention(signature: Signature, model: Path) -> str:
    names = [name.lower() for name in signature.arguments]
    if len(names) == 1 or (len(names) == 2 and "desc" in names[0]):
        return "descriptor"
    if len(names) >= 4 and "vec" in names[1]:
        return "edges"
    if len(names) >= 4 and all("edge" in name for name in names[2:-1]):
        return "graph"
    if len(names) == 5 and "neigh" in names[2] and ("neigh" in names[3] or "nl" in names[3]):
        return "raw"
    raise ModelError(
        f"the forward of {model} takes ({', '.join(signature.arguments)}), which fits no calling "
        "convention; pass --convention raw | graph | edges | descriptor"
    )


def _infer_layers(convention: str, signature: Signature, model: Path) -> int:
    if convention in ("raw", "descriptor"):
        return 1
    if convention == "graph" and len(signature.arguments) > 3:
        return len(signature.arguments) - 3
    raise ModelError(f"the number of layers of {model} is unknown; pass --layers")


def _infer_dtype(signature: Signature, model: Path) -> str | None:
    if len(signature.dtypes) > 1:
        raise ModelError(
            f"the parameters of {model} are of several types ({', '.join(signature.dtypes)}), "
            "expected one: float32 or float64"
        )
    if signature.dtypes and signature.dtypes[0] not in keys.choices("dtype"):
        raise ModelError(
            f"the parameters of {model} are {signature.dtypes[0]}, expected float32 or float64"
        )
    return signature.dtypes[0] if signature.dtypes else None


def _species_input(
    convention: str, declared: str | None, signature: Signature, model: Path
) -> str | None:
    """Return what the species argument holds: the first, or the second after a descriptor."""
    if convention != "descriptor":
        return declared or _infer_species_input("first", signature.arguments[0], model)
    if len(signature.arguments) > 1:
        return declared or _infer_species_input("second", signature.arguments[1], model)
    if declared is not None:
        raise ModelError(
            f"species_input is '{declared}', but the forward of {model} takes the descriptor "
            "alone, expected (descriptor, species)"
        )
    return None


def _infer_species_input(which: str, argument: str, model: Path) -> str:
    name = argument.lower()
    if name in ("z", "atomic_numbers"):
        return "atomic_number"
    if any(word in name for word in ("species", "code", "type")):
        return "code"
    raise ModelError(
        f"the {which} input of {model} has the name '{argument}', from which its content cannot be "
        "inferred; pass --species-input code | atomic_number"
    )


def _infer_returns_forces(signature: Signature, model: Path) -> bool:
    if any(kind != "Tensor" for kind in signature.outputs) or len(signature.outputs) > 2:
        raise ModelError(
            f"the forward of {model} returns ({', '.join(signature.outputs)}), "
            "expected a tensor, or a tuple (energy, derivative) of tensors"
        )
    return len(signature.outputs) == 2


def _agree(key: str, declared: _T | None, inferred: _T | None, model: Path) -> _T:
    if declared is not None and inferred is not None and declared != inferred:
        raise _contradiction(key, "the metadata", declared, f"the forward of {model}", inferred)
    value = inferred if declared is None else declared
    if value is None:
        raise ModelError(
            f"{model} has no float parameters, from which its {key} could be read; pass --{key}"
        )
    return value


def _contradiction(key: str, one: str, a: object, other: str, b: object) -> ModelError:
    def text(value: object) -> str:
        return " ".join(value) if isinstance(value, tuple) else str(value)

    return ModelError(
        f"'{key}' is '{text(a)}' in {one} but '{text(b)}' in {other}, "
        "expected the same value in both"
    )


def _require_fitting_arguments(facts: ModelMetadata, signature: Signature, model: Path) -> None:
    stages = [f"edge_index{k}" for k in range(facts.layers or 1)]
    expected = {
        "raw": ["species", "coords", "n_neigh", "nlist", "contributing"],
        "graph": ["species", "coords", *stages, "contributing"],
        "edges": ["species", "edge_vectors", "edge_index", "contributing"],
        "descriptor": ["descriptor"],
    }[facts.convention or ""]
    if facts.convention == "edges":
        expected += [name for name in SHELL_COUNTS if name in signature.arguments]
    if facts.convention == "descriptor" and len(signature.arguments) > 1:
        expected.append("species")
    types = ["List[int]" if name in SHELL_COUNTS else "Tensor" for name in expected]
    if list(signature.types) != types:
        layers = "" if facts.convention == "descriptor" else f" with {facts.layers} layer(s)"
        raise ModelError(
            f"the forward of {model} takes ({_inputs(signature.arguments, signature.types)}), but "
            f"the convention '{facts.convention}'{layers} calls it with "
            f"({_inputs(expected, types)})"
        )


def _inputs(names: Sequence[str], types: Sequence[str]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in zip(names, types, strict=True))
