"""From a checkpoint or an archive to a KIM portable model."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.export.pipeline import FORMATS, Export, Result, export

_HOMES = {
    "Export": "torchml.export.pipeline",
    "FORMATS": "torchml.export.pipeline",
    "Result": "torchml.export.pipeline",
    "export": "torchml.export.pipeline",
}

__all__ = [
    "FORMATS",
    "Export",
    "Result",
    "export",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
