"""What `quiet_torchscript` hides is there, and is all that TorchScript says."""

from __future__ import annotations

import io
import re
import warnings

import pytest
import torch

from torchml.contract.metadata import quiet_torchscript

HIDDEN = r"`torch\.jit\.\w+` is (deprecated|not supported)"


def write_and_read() -> None:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), stream)
    torch.jit.load(io.BytesIO(stream.getvalue()))


def test_torch_says_that_torchscript_is_deprecated():
    """Where it no longer does, `quiet_torchscript` and the filter of pyproject.toml can go."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_and_read()
    notices = [str(one.message) for one in caught]
    assert notices
    assert [one for one in notices if not re.match(HIDDEN, one)] == []


def test_nothing_of_it_is_shown_and_the_rest_is():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet_torchscript():
            write_and_read()
    assert caught == []
    with pytest.warns(UserWarning, match="of a model"), quiet_torchscript():
        warnings.warn("of a model", UserWarning, stacklevel=1)
