"""Relaxation of many structures at once."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.relaxation.api import relax
    from torchml.relaxation.loop import Limits
    from torchml.relaxation.options import CellOptions, RelaxOptions
    from torchml.relaxation.output import Files
    from torchml.relaxation.results import Frame, Relaxed

_HOMES = {
    "CellOptions": "torchml.relaxation.options",
    "Files": "torchml.relaxation.output",
    "Frame": "torchml.relaxation.results",
    "Limits": "torchml.relaxation.loop",
    "RelaxOptions": "torchml.relaxation.options",
    "Relaxed": "torchml.relaxation.results",
    "relax": "torchml.relaxation.api",
}

__all__ = ["CellOptions", "Files", "Frame", "Limits", "RelaxOptions", "Relaxed", "relax"]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
