"""Numbers as ids of structures that have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torchml.data.configuration import Configuration
from torchml.data.sequences import LazyConfigurations


class Numbered(LazyConfigurations):
    """Structures whose sid, if they have none, is their number from 0, as in OCP's `ase_read`.

    Args:
        structures: read on demand.
    """

    def __init__(self, structures: Sequence[Configuration]) -> None:
        self.structures = structures
        self.known_sizes = getattr(structures, "known_sizes", None)

    def __len__(self) -> int:
        return len(self.structures)

    def read(self, index: int) -> Configuration:
        structure = self.structures[index]
        return structure if structure.sid is not None else replace(structure, sid=str(index))
