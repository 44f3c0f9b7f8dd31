"""From a checkpoint or an archive to a KIM portable model."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.export.checks.check import CheckFailed
    from torchml.export.forms import FORMATS
    from torchml.export.pipeline import Export, export, export_model
    from torchml.export.request import Request, Result
    from torchml.reference.agreement import Check

_HOMES = {
    "Check": "torchml.reference.agreement",
    "CheckFailed": "torchml.export.checks.check",
    "Export": "torchml.export.pipeline",
    "FORMATS": "torchml.export.forms",
    "Request": "torchml.export.request",
    "Result": "torchml.export.request",
    "export": "torchml.export.pipeline",
    "export_model": "torchml.export.pipeline",
}

__all__ = [
    "FORMATS",
    "Check",
    "CheckFailed",
    "Export",
    "Request",
    "Result",
    "export",
    "export_model",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
