"""Models compiled ahead of time by AOTInductor."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.export.aoti.compilation import Compiled, compile_archive, load

_HOMES = {
    "Compiled": "torchml.export.aoti.compilation",
    "compile_archive": "torchml.export.aoti.compilation",
    "load": "torchml.export.aoti.compilation",
}

__all__ = [
    "Compiled",
    "compile_archive",
    "load",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
