"""Models installed for KIM simulators."""

from __future__ import annotations

from torchml import TorchMLError
from torchml.export import Export, export


def install(order: Export) -> str:
    """Export a model as a user does, install it into its collection, and return its KIM name."""
    result = export(order)
    if result.folder is None:
        failed = next(check for check in result.checks if check.verdict == "fail")
        raise TorchMLError(f"the export of {order.name} failed: {failed.name}: {failed.detail}")
    return result.folder.name
