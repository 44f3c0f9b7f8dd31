"""Old name of `torchml.importers.mace`, kept for one release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchml.contract.metadata import ModelMetadata
from torchml.errors import TorchMLError
from torchml.export.pipeline import export as _export
from torchml.export.request import Request
from torchml.importers.mace.model import import_mace, is_mace, load, save

__all__ = ["export", "import_mace", "is_mace", "load", "save"]


def export(
    model: str | Path,
    species: Sequence[str] | None = None,
    head: str | None = None,
    dtype: str = "float64",
    **order: Any,
) -> Path:
    """Write a MACE model as a KIM portable model; `torchml.export_model` does the same and more.

    Args:
        model: file that MACE saved, from a source that you trust.
        species: chemical symbols of the elements wanted; None takes all.
        head: which head of a model with several; None takes the one called default.
        dtype: float type of the exported network.
        order: further fields of `torchml.export.Request`, such as name, output and collection.

    Returns:
        The folder of the portable model.
    """
    facts = ModelMetadata(species=tuple(species) if species else None, dtype=dtype)
    result = _export(Request(Path(model), source="mace", head=head, facts=facts, **order))
    if result.folder is None:
        failed = next(check for check in result.checks if check.verdict == "fail")
        raise TorchMLError(f"{model} was not exported: {failed.name}: {failed.detail}")
    return result.folder
