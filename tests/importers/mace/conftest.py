"""MACE sets torch's default float type: that stays in here."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def default_float_type() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)
