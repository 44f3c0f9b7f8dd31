"""Fixtures of the Python tests of export and importers."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import pytest

import torchml.export.checks.loading
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
        monkeypatch.setattr(torchml.export.checks.loading, "probe", inspect)
        yield


@pytest.fixture
def real_probe(monkeypatch, quick_probe):
    monkeypatch.setattr(torchml.export.checks.loading, "probe", probe)
