"""Models of MACE (https://github.com/ACEsuit/mace, package mace-torch)."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.importers.mace.model import is_mace, load, save

_HOMES = {
    "is_mace": "torchml.importers.mace.model",
    "load": "torchml.importers.mace.model",
    "save": "torchml.importers.mace.model",
}

__all__ = [
    "is_mace",
    "load",
    "save",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
