"""A torch that has given TorchScript up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch


@contextmanager
def refused() -> Iterator[None]:
    """Let everything fail that writes or reads TorchScript in this process."""

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("TorchScript was called")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("script", "trace", "load", "save"):
            patch.setattr(torch.jit, name, refuse)
        yield
