"""A model of another package, made of what the process that read it handed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torchml.errors import ModelError
from torchml.importers.parity import Parity, require_parity, require_rounding
from torchml.importers.traced import Traced, function_of
from torchml.models.base import EdgeModel


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
    """

    model: EdgeModel
    parity: Parity
    rounding: Parity | None
    calculator: bool
    way: str
    isolated: Mapping[str, float]
    provenance: Mapping[str, str]
    notes: tuple[str, ...]


def imported(content: Mapping[str, Any], name: str) -> Imported:
    """Build the model and compare it.

    Args:
        content: of `torchml.importers.reading.handing_over.content_of`.
        name: of the model, for errors.

    Raises:
        ModelError: the model does not give its package's own results.
    """
    model, way = _model_of(content)
    return Imported(
        model,
        require_parity(model, content, name),
        require_rounding(content, name),
        bool(content["calculator"]),
        way,
        dict(content["isolated"]),
        dict(content["provenance"]),
        tuple(content["notes"]),
    )


def _model_of(content: Mapping[str, Any]) -> tuple[EdgeModel, str]:
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
