"""Compiled archives in Python."""

from __future__ import annotations

import logging

import pytest

from torchml.inference import compiled


def test_torch_does_not_compare_instruction_sets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It warns where the machine has more instructions than the archive uses."""
    log = logging.getLogger("torch.export.pt2_archive._package")
    monkeypatch.setattr(log, "propagate", True)
    with compiled._instruction_sets_not_compared():
        log.warning("Device information mismatch for %s: %s vs %s.", "AOTI_CPU_ISA", "a", "b")
        log.warning("another warning")
    assert caplog.messages == ["another warning"]
    log.warning("Device information mismatch for what is read by others")
    assert len(caplog.messages) == 2
