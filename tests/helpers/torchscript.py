"""A torch that has given TorchScript up, and what an export does with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from torchml.contract.metadata import ModelMetadata
from torchml.export.aoti.energy import energy_of_network, with_derivative
from torchml.export.aoti.inputs import inputs_of
from torchml.export.aoti.samples import samples_of
from torchml.export.aoti.tracing import trace
from torchml.export.prepare import prepare
from torchml.importers.opening import Loaded
from torchml.models import EdgeModel
from torchml.models.calling import Called


@contextmanager
def refused() -> Iterator[None]:
    """Let everything fail that writes or reads TorchScript in this process."""

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("TorchScript was called")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("script", "trace", "load", "save"):
            patch.setattr(torch.jit, name, refuse)
        yield


def require_graph(model: EdgeModel, convention: str) -> None:
    """Prepare and trace a network without TorchScript: a graph of energy and derivative.

    A size that became a constant would fail at the second sample.
    """
    loaded = Loaded(Path("best.ckpt"), "Test", model.eval())
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
        graph = trace(function, samples_of(inputs, facts, 0, "cpu"), "the network")
    sample = samples_of(inputs, facts, 1, "cpu")
    for found, expected in zip(graph(*sample), function(*sample), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10, equal_nan=True)
