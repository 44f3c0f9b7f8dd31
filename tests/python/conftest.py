"""Fixtures of the Python tests of export and importers."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import torchml.export.checks.engine
import torchml.importers.adding
from torchml import _core
from torchml.contract import signature
from torchml.contract.metadata import quiet_torchscript
from torchml.contract.signature import Signature, probe


@pytest.fixture
def quick_probe(monkeypatch):
    """Inspect archives in this process: a fresh one needs seconds to import torch.

    The tests of the probe itself, and those of the command in a process of its own, do not.
    """

    def inspect(model: Path, extensions: tuple[str, ...] = ()) -> Signature:
        with (
            contextlib.redirect_stdout(io.StringIO()) as printed,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "argv", ["probe", str(model), *extensions])
            exec(signature._PROBE, {})
        return Signature.from_json(printed.getvalue())

    with quiet_torchscript():
        monkeypatch.setattr(torchml.export.checks.engine, "probe", inspect)
        monkeypatch.setattr(torchml.importers.adding, "probe", inspect)
        yield


@pytest.fixture
def reads(monkeypatch):
    """The models that an export reads from disk, in order: alone with torch, or in the engine."""
    engine = torchml.export.checks.engine
    found: list[str] = []

    def alone(model: Path, extensions: tuple[str, ...] = ()) -> Signature:
        found.append("alone")
        return probe(model, extensions)

    def potential(*args: object) -> _core.Potential:
        found.append("engine")
        return _core.Potential(*args)

    monkeypatch.setattr(engine, "probe", alone)
    monkeypatch.setattr(engine, "core", SimpleNamespace(Potential=potential))
    return found


@pytest.fixture
def real_probe(monkeypatch, quick_probe):
    monkeypatch.setattr(torchml.export.checks.engine, "probe", probe)
