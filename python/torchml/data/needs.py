"""The interface through which a task tells its data which graphs and labels it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torchml.data.graph import GraphBuilder, Kind


@runtime_checkable
class DataNeeds(Protocol):
    """A model with its labels, as a data module sees it.

    Attributes:
        labels: energy, forces or stress, as far as every configuration must have them.
        learned: optional; energy, forces or stress, as far as they are used where they exist.
        target_kinds: kind and number of components of each further label, by name.
    """

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def target_kinds(self) -> Mapping[str, tuple[str, int]]: ...

    def graph_builder(self, kind: Kind) -> GraphBuilder:
        """Return the builder of the graphs that the model takes."""
        ...
