"""From what several sources say of a model, and from its signature, the whole metadata.

The names, number and types of the inputs and outputs fix the calling convention, the number of
message-passing layers, the kind of the first input and whether forces are returned. What they leave
open is asked for; what contradicts them is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

import torchml._core as core
from torchml.contract.metadata import CHOICES, ModelMetadata
from torchml.contract.signature import SHELL_COUNTS, Signature
from torchml.errors import TorchMLError

_T = TypeVar("_T")


def merge(*told: tuple[str, ModelMetadata]) -> ModelMetadata:
    """What several sources, each with its name, say together; a contradiction is an error."""
    values: dict[str, object] = {}
    for key in (one.name for one in fields(ModelMetadata)):
        said = [(source, getattr(one, key)) for source, one in told]
        said = [(source, value) for source, value in said if value is not None]
        for source, value in said[1:]:
            if value != said[0][1]:
                raise _contradiction(key, *said[0], source, value)
        values[key] = said[0][1] if said else None
    return ModelMetadata(**values)  # type: ignore[arg-type]


def complete(told: ModelMetadata, signature: Signature, model: Path) -> ModelMetadata:
    """Fill what follows from the signature, and refuse what contradicts it."""
    convention = told.convention or _infer_convention(signature, model)
    if convention == "descriptor" and told.descriptor is None:
        raise TorchMLError(
            f"{model} is called with a descriptor, but does not say with which; pass --descriptor "
            "with the file of its parameters"
        )
    for key in ("species", "cutoff"):
        if getattr(told, key) is None:
            raise TorchMLError(f"{model} does not say its {key}; pass --{key}")
    for symbol in told.species or ():
        core.atomic_number(symbol)  # refuses what is no element

    facts = replace(
        told,
        convention=convention,
        layers=told.layers or _infer_layers(convention, signature, model),
        dtype=_agree("dtype", told.dtype, _infer_dtype(signature, model), model),
        species_input=_species_input(convention, told.species_input, signature, model),
        returns_forces=_agree(
            "returns_forces", told.returns_forces, _infer_returns_forces(signature, model), model
        ),
    )
    if facts.edges is not None and convention != "graph":
        raise TorchMLError(
            f"edges is '{facts.edges}', but only the convention 'graph' has a choice of edges, "
            f"and this model is called as '{convention}'"
        )
    if convention == "graph":
        facts = replace(facts, edges=facts.edges or "symmetric")
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
        return "none"
    raise TorchMLError(
        f"the forward of {model} takes ({', '.join(signature.arguments)}), which does not tell "
        "how it wants to be called; pass --convention none | graph | edges | descriptor"
    )


def _infer_layers(convention: str, signature: Signature, model: Path) -> int:
    if convention in ("none", "descriptor"):
        return 1
    if convention == "graph" and len(signature.arguments) > 3:
        return len(signature.arguments) - 3
    raise TorchMLError(f"{model} does not tell how many layers it has; pass --layers")


def _infer_dtype(signature: Signature, model: Path) -> str | None:
    if len(signature.dtypes) > 1:
        raise TorchMLError(
            f"the parameters of {model} are of several types ({', '.join(signature.dtypes)}), "
            "expected one: float32 or float64"
        )
    if signature.dtypes and signature.dtypes[0] not in CHOICES["dtype"]:
        raise TorchMLError(
            f"the parameters of {model} are {signature.dtypes[0]}, expected float32 or float64"
        )
    return signature.dtypes[0] if signature.dtypes else None


def _species_input(
    convention: str, told: str | None, signature: Signature, model: Path
) -> str | None:
    """What the input of species holds, which is the second after a descriptor, if it is there."""
    if convention != "descriptor":
        return told or _infer_species_input("first", signature.arguments[0], model)
    if len(signature.arguments) > 1:
        return told or _infer_species_input("second", signature.arguments[1], model)
    if told is not None:
        raise TorchMLError(
            f"species_input is '{told}', but the forward of {model} takes the descriptor alone, "
            "expected (descriptor, species)"
        )
    return None


def _infer_species_input(which: str, argument: str, model: Path) -> str:
    name = argument.lower()
    if name in ("z", "atomic_numbers"):
        return "atomic_number"
    if any(word in name for word in ("species", "code", "type")):
        return "code"
    raise TorchMLError(
        f"the {which} input of {model} is called '{argument}', which does not tell what it holds; "
        "pass --species-input code | atomic_number"
    )


def _infer_returns_forces(signature: Signature, model: Path) -> bool:
    if any(kind != "Tensor" for kind in signature.outputs) or len(signature.outputs) > 2:
        raise TorchMLError(
            f"the forward of {model} returns ({', '.join(signature.outputs)}), "
            "expected a tensor, or a tuple (energy, derivative) of tensors"
        )
    return len(signature.outputs) == 2


def _agree(key: str, told: _T | None, found: _T | None, model: Path) -> _T:
    if told is not None and found is not None and told != found:
        raise _contradiction(key, "what is told of it", told, f"the forward of {model}", found)
    value = found if told is None else told
    if value is None:
        raise TorchMLError(f"{model} has no float parameters that tell its {key}; pass --{key}")
    return value


def _contradiction(key: str, one: str, a: object, other: str, b: object) -> TorchMLError:
    def text(value: object) -> str:
        return " ".join(value) if isinstance(value, tuple) else str(value)

    return TorchMLError(f"{key}: {one} says '{text(a)}', but {other} says '{text(b)}'")


def _require_fitting_arguments(facts: ModelMetadata, signature: Signature, model: Path) -> None:
    stages = [f"edge_index{k}" for k in range(facts.layers or 1)]
    expected = {
        "none": ["species", "coords", "n_neigh", "nlist", "contributing"],
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
        raise TorchMLError(
            f"the forward of {model} takes ({_inputs(signature.arguments, signature.types)}), but "
            f"the convention '{facts.convention}'{layers} calls it with "
            f"({_inputs(expected, types)})"
        )


def _inputs(names: Sequence[str], types: Sequence[str]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in zip(names, types, strict=True))
