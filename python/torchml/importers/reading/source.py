"""What an adapter tells of a model of another package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor


class ReadingError(Exception):
    """One sentence: what is wrong with a model, where, and what was expected."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; with the code that TorchScript shows below it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2] if lines[0].endswith("here:") else lines[:1])


@dataclass(frozen=True)
class Structure:
    """Atoms in a cell.

    Attributes:
        symbols: chemical symbols, N.
        positions: float64[N, 3] (Å).
        cell: rows are the vectors, float64[3, 3] (Å).
        pbc: which of the vectors are periods.
    """

    symbols: Sequence[str]
    positions: np.ndarray
    cell: np.ndarray
    pbc: Sequence[bool]


@dataclass(frozen=True)
class Results:
    """What a package computes of a structure.

    Attributes:
        energy: eV, with the energies of isolated atoms where the package's calculator has them.
        forces: float[N, 3] (eV/Å).
        stress: float[6], xx yy zz yz xz xy, with the sign of ASE (eV/Å³); None without.
        energies: of the atoms, float[N] (eV), where the package tells them.
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None = None
    energies: np.ndarray | None = None


class EnergyFunction(Protocol):
    """The energies of atoms as a function of edge vectors, with torch operations."""

    def __call__(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        """Return float[M] (eV); the arguments are those of `torchml.models.EdgeModel.forward`.

        Args:
            species: places in `Source.species`, i64[M].
            edge_vectors: position of the source minus position of the target, float[E, 3] (Å).
            edge_index: row 0 source, row 1 target, i64[2, E]; no edge need exist in both
                directions: edges into the atoms of the last shell are left out.
            node_counts: numbers of nodes in the shells 0 to k.
            edge_counts: numbers of edges into the shells 0 to k.
        """


@dataclass(frozen=True)
class Source:
    """A model of another package, ready to be handed over.

    One of `energies` and `network` is given. `energies` is traced; `network` names a network of
    `torchml.importers` that takes the weights: a mapping of plain values and tensors, with the
    key `family`.

    Attributes:
        species: chemical symbols, in the order of the species codes.
        cutoff: the largest distance of an edge (Å).
        layers: passes over the edges; atoms farther than `layers * cutoff` do not matter.
        dtypes: float types in which the model can be run, the preferred one first.
        own_results: the package's own calculator; None where there is none, then the energies are
            differentiated before they are traced.
        exact_results: those of the package's modules in float64, where its calculator computes in
            float32 alone; None elsewhere.
        energies: the energies of atoms, in the float type that was asked for.
        network: plain values from which a network of torchml is built.
        isolated: energies of isolated atoms by symbol (eV), for the report.
        provenance: by key: package, version, name of the model, head, weights, ...
        tolerance: relative difference from the package's results that rounding explains, by float
            type. That of float32 is also that of `own_results` from `exact_results`.
        notes: sentences for the report: what the user should know.
    """

    species: list[str]
    cutoff: float
    layers: int
    dtypes: tuple[str, ...]
    own_results: Callable[[Structure], Results] | None
    exact_results: Callable[[Structure], Results] | None = None
    energies: EnergyFunction | None = None
    network: Mapping[str, Any] | None = None
    isolated: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    tolerance: dict[str, float] = field(default_factory=lambda: {"float64": 1e-8, "float32": 1e-5})
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What the user wants of a model.

    Attributes:
        model: path of a file, or the name of a model that the package ships.
        species: chemical symbols to keep, in this order; None keeps all of the model.
        head: head, modality or fidelity; None where the model has one only.
        dtype: float32 or float64; None takes the adapter's preferred type.
    """

    model: str
    species: Sequence[str] | None = None
    head: str | None = None
    dtype: str | None = None
