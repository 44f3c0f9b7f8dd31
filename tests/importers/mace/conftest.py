"""MACE sets torch's default float type, and lets torch.load run any pickle: both stay in here."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def settings_of_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", raising=False)
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)
