"""Old data that train again beside new ones, so that a network does not forget them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from torchml.data.checks import LABELS
from torchml.data.configuration import Configuration, Weights
from torchml.data.keys import Keys
from torchml.data.reading import read
from torchml.data.references import reference_energy
from torchml.errors import DataError


@dataclass(frozen=True)
class Replay:
    """Old data that train beside the new ones.

    Energies are moved by what the new reference energies of the elements differ from the old ones
    by. All configurations are kept in memory.

    Attributes:
        files: as `data.train`.
        weight: factor of the old configurations in the loss.
        count: of so many configurations, evenly spaced in the files; null takes all.
        keys: names and units of the labels in these files.
        format: format of these files, if their names do not show it.
    """

    files: str | list[str]
    weight: float = 1.0
    count: int | None = None
    keys: Keys | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise DataError(
                f"data.replay.weight is {self.weight}, expected a positive number; without "
                "data.replay, old data do not train"
            )
        if self.count is not None and self.count < 1:
            raise DataError(f"data.replay.count is {self.count}, expected at least 1")

    def read(self) -> list[Configuration]:
        """Read the configurations."""
        whole = read(self.files, self.keys, self.format)
        count = min(self.count or len(whole), len(whole))
        places = np.linspace(0, len(whole) - 1, count).astype(int)
        return [whole[int(k)] for k in places]

    def moved(
        self,
        configurations: Sequence[Configuration],
        labels: Sequence[str],
        shifts: Mapping[str, float],
    ) -> list[Configuration]:
        """Return the configurations with their weight and the new reference energies.

        Args:
            configurations: of `read`.
            labels: those of energy, forces and stress that each one must have.
            shifts: energies to add for each atom (eV), by symbol.

        Raises:
            DataError: a label is missing.
        """
        _check_labels(configurations, labels)
        return [self._moved(one, shifts) for one in configurations]

    def _moved(self, one: Configuration, shifts: Mapping[str, float]) -> Configuration:
        old = one.weights
        weights = Weights(*(self.weight * w for w in (old.energy, old.forces, old.stress)))
        if one.energy is None:
            return replace(one, weights=weights)
        return replace(one, weights=weights, energy=one.energy + reference_energy(one, shifts))


def _check_labels(configurations: Sequence[Configuration], required: Sequence[str]) -> None:
    for one in configurations:
        for name in required:
            if getattr(one, name) is None:
                raise DataError(
                    f"data.replay: {one.name} has no {name}, expected the labels that the task "
                    "learns (see data.replay.keys)"
                )
    if not any(getattr(one, name) is not None for one in configurations for name in LABELS):
        raise DataError(
            f"data.replay: none of {len(configurations)} configurations has a label, expected "
            f"{', '.join(LABELS)} (see data.replay.keys)"
        )
