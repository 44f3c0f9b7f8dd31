"""Networks become graphs for torch.export without TorchScript, which torch has given up.

That such graphs are compiled and run is tested where the archives of tests/helpers/compiled.py are.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers import committees, networks
from helpers.torchscript import refused
from torchml.contract.metadata import ModelMetadata
from torchml.export.aoti.energy import energy_of_network, with_derivative
from torchml.export.aoti.inputs import inputs_of
from torchml.export.aoti.samples import samples_of
from torchml.export.aoti.tracing import trace
from torchml.export.compression import compress
from torchml.export.prepare import prepare
from torchml.importers.opening import Loaded
from torchml.models import EdgeModel, StillingerWeber, TensorNet
from torchml.models.calling import Called


def tensornet() -> EdgeModel:
    torch.manual_seed(1)
    network = TensorNet(["Si", "O"], 3.0, layers=1, features=4, radial_functions=4)
    return compress(network, 1e-6).model


KINDS = {
    "raw Stillinger-Weber": ("raw", StillingerWeber),
    "Stillinger-Weber": ("edges", StillingerWeber),
    "staged SchNet": ("graph", lambda: networks.make("SchNet")),
    "PaiNN": ("edges", lambda: networks.make("Scaled")),
    "compressed TensorNet": ("edges", tensornet),
    "ACE": ("edges", lambda: networks.make("ACE")),
    "descriptor network": ("descriptor", lambda: networks.make("DescriptorPotential")),
    "committee": ("edges", lambda: committees.committee(2)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_each_kind_becomes_a_graph(kind):
    """Of energy and derivative; a size that became a constant would fail at another sample."""
    convention, make = KINDS[kind]
    loaded = Loaded(Path("best.ckpt"), "Test", make().eval())
    with refused():
        prepared = prepare(loaded, ModelMetadata(convention=convention), scripting=False)
        assert prepared.module is None
        assert prepared.network is not None
        assert {check.verdict for check in prepared.reports} == {"pass"}
        called, facts = Called(prepared.network, convention), prepared.facts
        inputs = inputs_of(facts, called.argument_names)
        energy_kind = "per_contributing" if convention == "descriptor" else "per_particle"
        energy = energy_of_network(called, inputs)
        function = with_derivative(energy, inputs, facts, energy_kind)
        graph = trace(function, samples_of(inputs, facts, 0, "cpu"), kind)
    sample = samples_of(inputs, facts, 1, "cpu")
    for found, expected in zip(graph(*sample), function(*sample), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_and_checks_are_those_of_torchscript(kind):
    convention, make = KINDS[kind]
    loaded = Loaded(Path("best.ckpt"), "Test", make().eval())
    facts = ModelMetadata(convention=convention)
    one, other = (prepare(loaded, facts, scripting=scripting) for scripting in (False, True))
    assert other.module is not None
    assert (one.facts, one.arguments, one.reports) == (other.facts, other.arguments, other.reports)
