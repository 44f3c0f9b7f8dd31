"""A model of another package, made of what the process that read it handed over."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from torchml.errors import ModelError
from torchml.importers.parity import Parity, require_parity, require_rounding
from torchml.importers.traced import Traced, function_of
from torchml.models.base import EdgeModel, float_type
from torchml.models.scaled import Scaled


@dataclass(frozen=True)
class Imported:
    """A model that gives its package's own results.

    Attributes:
        model: the network in Python.
        parity: its differences from the package's own results.
        rounding: the differences of the package's calculator, in float32, from its modules in
            float64, with which the model is compared then; None elsewhere.
        calculator: whether these are of the package's calculator, or of the energies that were
            traced, and their derivatives.
        way: network, graph or torchscript.
        isolated: energies of isolated atoms by symbol (eV), where the package tells them.
        provenance: package, version, name of the model, ...
        notes: sentences for the user.
        content: what the process that read the model handed over.
    """

    model: EdgeModel
    parity: Parity
    rounding: Parity | None
    calculator: bool
    way: str
    isolated: Mapping[str, float]
    provenance: Mapping[str, str]
    notes: tuple[str, ...]
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)


def imported(content: Mapping[str, Any], name: str) -> Imported:
    """Build the model and compare it.

    Args:
        content: of `torchml.importers.reading.handing_over.content_of`.
        name: of the model, for errors.

    Raises:
        ModelError: the model does not give its package's own results.
    """
    model, way = model_of(content)
    return Imported(
        model,
        require_parity(model, content, name),
        require_rounding(content, name),
        bool(content["calculator"]),
        way,
        dict(content["isolated"]),
        dict(content["provenance"]),
        tuple(content["notes"]),
        content,
    )


def description(content: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Return plain values and tensors from which `of_description` makes the model again.

    Args:
        content: of `torchml.importers.reading.handing_over.content_of`.
        dtype: float type of the network.

    Raises:
        ModelError: the model is a graph.
    """
    if "network" not in content:
        raise ModelError(
            "a model that was traced cannot be trained, because its weights cannot be told from "
            "its constants; expected one whose weights a network of TorchML takes"
        )
    kept = ("version", "species", "cutoff", "layers", "provenance", "network")
    return {key: content[key] for key in kept} | {"dtype": dtype}


def of_description(content: Mapping[str, Any]) -> Scaled:
    """Return the potential that `description` describes, with the weights of its package."""
    model, _ = model_of(content)
    # A training changes the weights in place, but not the description, which shares its tensors.
    model = copy.deepcopy(model)
    potential = model if isinstance(model, Scaled) else Scaled(model)
    potential.network.to(float_type(content["dtype"]))
    return potential


def described(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies a description, without its tensors."""
    return {key: value for key, value in content.items() if key != "network"}


def model_of(content: Mapping[str, Any]) -> tuple[EdgeModel, str]:
    """Return the model that a process handed over, and its way: network, graph or torchscript."""
    if "network" in content:
        network = content["network"]
        if not str(network["family"]).isidentifier():
            raise ModelError(f"a network of the family '{network['family']}' is not known")
        family = import_module(f"torchml.importers.networks.{network['family']}")
        model: EdgeModel = family.build(network)
        return model.eval(), "network"
    function, counts = function_of(content)
    facts = content["species"], content["cutoff"], content["layers"]
    traced = Traced(*facts, function, content["dtype"], counts)
    return traced.eval(), "graph" if "graph" in content else "torchscript"
