"""KLIFF's manifest for training graph networks, and a GNNLightningTrainer that takes it."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.compat.kliff.trainer import GNNLightningTrainer
    from torchml.compat.kliff.translation import translate

_HOMES = {
    "GNNLightningTrainer": "torchml.compat.kliff.trainer",
    "translate": "torchml.compat.kliff.translation",
}

__all__ = [
    "GNNLightningTrainer",
    "translate",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
