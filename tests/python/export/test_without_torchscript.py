"""Networks become graphs for torch.export without TorchScript, which torch has given up.

That such graphs are compiled and run is tested where the archives of tests/helpers/compiled.py are.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers import committees, networks
from helpers.torchscript import require_graph
from torchml.contract.metadata import ModelMetadata
from torchml.export.compression import compress
from torchml.export.prepare import prepare
from torchml.importers.opening import Loaded
from torchml.models import EdgeModel, StillingerWeber, TensorNet


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
    convention, make = KINDS[kind]
    require_graph(make(), convention)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_and_checks_are_those_of_torchscript(kind):
    convention, make = KINDS[kind]
    loaded = Loaded(Path("best.ckpt"), "Test", make().eval())
    facts = ModelMetadata(convention=convention)
    one, other = (prepare(loaded, facts, scripting=scripting) for scripting in (False, True))
    assert other.module is not None
    assert (one.facts, one.arguments, one.reports) == (other.facts, other.arguments, other.reports)
