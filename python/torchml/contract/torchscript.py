"""Reading TorchScript: the one place that does, after the archive was examined."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from torchml.contract.archives import check_archive
from torchml.contract.metadata import quiet_torchscript

if TYPE_CHECKING:
    import torch


def load_script(
    archive: str | Path | bytes,
    expected: str = "TorchScript archive",
    source: str | Path = "",
    device: str = "cpu",
) -> torch.jit.ScriptModule:
    """Read the module in an archive of TorchScript.

    Args:
        archive: a file, or the content of one.
        expected: what it should be, for the message.
        source: where the content comes from, for the message.
        device: where its tensors are put.

    Raises:
        FileError: the archive is damaged, or made to do harm.
        RuntimeError: torch refuses it, for instance because of an operator that is not loaded.
    """
    import torch

    check_archive(archive, expected, source)
    content = io.BytesIO(archive) if isinstance(archive, bytes) else str(archive)
    with quiet_torchscript():
        module: torch.jit.ScriptModule = torch.jit.load(content, map_location=device)
    return module
