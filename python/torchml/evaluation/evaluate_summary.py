"""The errors of a data set: metrics, distributions, and the structures with the largest errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.evaluation.metrics import METRICS, Mean
from torchml.evaluation.metrics_distributions import LogHistogram, Parity
from torchml.evaluation.metrics_positions import POSITION_METRICS
from torchml.evaluation.metrics_sums import Sums

Task = Literal["s2ef", "is2re", "is2rs"]

WORST = 6
"""Structures with the largest errors that a summary keeps of each quantity."""


@dataclass(frozen=True, eq=False)
class Worst:
    """A structure with a large error.

    Attributes:
        error: by which it was chosen: eV per atom, eV/Å (largest difference of an atom), or Å (mean
            distance of free atoms).
        configuration: the labelled structure.
        energy_error: predicted - label, eV.
        of_atoms: [N], error of each atom, eV/Å or Å; NaN where an atom does not count.
    """

    error: float
    configuration: Configuration
    energy_error: float | None
    of_atoms: NDArray[np.float64] | None


@dataclass
class Summary:
    """The errors of a data set, or of a part of it.

    Attributes:
        task: s2ef (energies, forces, stress), is2re (relaxed energies from initial structures), or
            is2rs (relaxed structures).
        free_atoms_only: whether fixed atoms are left out.
        structures: number of them.
        atoms: number of all their atoms.
        labels: number of structures by label.
        sums: of each metric.
        groups: sums by group.
        elements: sums by element, of metrics of atoms.
        parity: labels and predictions by quantity: energy (eV per atom), forces (eV/Å) and stress
            (eV/Å³) components.
        errors: absolute errors by quantity, as in `parity`; is2rs: distance (Å).
        errors_of_elements: of atoms, by element: lengths of force differences (eV/Å), or
            distances (Å).
        worst: structures with the largest errors by quantity: energy, forces or distance.
    """

    task: Task
    free_atoms_only: bool = True
    structures: int = 0
    atoms: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    sums: Sums = field(init=False)
    groups: dict[str, Sums] = field(default_factory=dict)
    elements: dict[str, Sums] = field(default_factory=dict)
    parity: dict[str, Parity] = field(default_factory=dict)
    errors: dict[str, LogHistogram] = field(default_factory=dict)
    errors_of_elements: dict[str, LogHistogram] = field(default_factory=dict)
    worst: dict[str, list[Worst]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sums = Sums(means_of(self.task))

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that have errors, in eV and Å; shares between 0 and 1."""
        return self.sums.values()

    def sums_of_group(self, group: str) -> Sums:
        return self.groups.setdefault(group, Sums(means_of(self.task)))

    def sums_of_element(self, symbol: str) -> Sums:
        return self.elements.setdefault(symbol, Sums(means_of_atoms(self.task)))

    def add_points(
        self, quantity: str, labels: NDArray[np.float64], predictions: NDArray[np.float64]
    ) -> None:
        """Add labels and predictions, in any shape."""
        self.parity.setdefault(quantity, Parity()).add(labels, predictions)
        self.add_errors(quantity, np.abs(predictions - labels))

    def add_errors(self, quantity: str, errors: NDArray[np.float64]) -> None:
        self.errors.setdefault(quantity, LogHistogram()).add(errors)

    def add_element_errors(self, symbol: str, errors: NDArray[np.float64]) -> None:
        self.errors_of_elements.setdefault(symbol, LogHistogram()).add(errors)

    def add_worst(self, quantity: str, candidates: Sequence[Worst]) -> None:
        kept = [*self.worst.get(quantity, []), *candidates]
        self.worst[quantity] = sorted(kept, key=_largest_first)[:WORST]

    def merge(self, other: Summary) -> None:
        """Add the errors of another part of the data set."""
        self.structures += other.structures
        self.atoms += other.atoms
        self.labels += other.labels
        self.sums.merge(other.sums)
        for group, sums in other.groups.items():
            self.sums_of_group(group).merge(sums)
        for symbol, sums in other.elements.items():
            self.sums_of_element(symbol).merge(sums)
        for quantity, parity in other.parity.items():
            self.parity.setdefault(quantity, Parity()).merge(parity)
        for quantity, errors in other.errors.items():
            self.errors.setdefault(quantity, LogHistogram()).merge(errors)
        for symbol, errors in other.errors_of_elements.items():
            self.errors_of_elements.setdefault(symbol, LogHistogram()).merge(errors)
        for quantity, worst in other.worst.items():
            self.add_worst(quantity, worst)


def means_of(task: Task) -> dict[str, Mean]:
    """Return how each metric of a task is averaged."""
    if task == "is2rs":
        return POSITION_METRICS
    needed = ("energy",) if task == "is2re" else ("energy", "forces", "stress")
    return {name: metric.mean for name, metric in METRICS.items() if metric.needs in needed}


def means_of_atoms(task: Task) -> dict[str, Mean]:
    """Return how each metric that is a mean over atoms is averaged."""
    if task == "is2rs":
        return {name: POSITION_METRICS[name] for name in ("distance", *_POSITIONS)}
    return {
        name: metric.mean
        for name, metric in METRICS.items()
        if metric.needs == "forces" and name != "efwt"
    }


_POSITIONS = ("positions_mae", "positions_mse")


def _largest_first(worst: Worst) -> tuple[float, str, int]:
    """The order of structures, the same however they were dealt to ranks."""
    return -worst.error, worst.configuration.source, worst.configuration.index
