"""A model of orb is refused with the reason, whether or not its package is installed."""

from __future__ import annotations

import pytest

from torchml import TorchMLError
from torchml.cli import export_main
from torchml.importers.opening import load


def test_orb_is_refused_with_the_reason(tmp_path, capsys):
    model = tmp_path / "orb.ckpt"
    model.write_bytes(b"any")
    with pytest.raises(TorchMLError, match="the mean over all atoms of a system"):
        load(model, "orb")
    assert export_main([str(model), "--from", "orb", "--output", str(tmp_path)]) != 0
    assert "atoms change each other's forces at any distance" in capsys.readouterr().err
