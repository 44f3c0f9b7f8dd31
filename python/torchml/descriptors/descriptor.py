"""Descriptors of structures, their Jacobians and vector-Jacobian products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchml import _descriptors as core
from torchml.descriptors.environments import Environments
from torchml.descriptors.labels import labels_of
from torchml.descriptors.parameters import Parameters
from torchml.errors import TorchMLError
from torchml.voigt import to_voigt

if TYPE_CHECKING:
    from ase import Atoms

    Structure = Atoms | Environments

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gradient:
    """Derivatives of sum_cd cotangent[c, d] D[c, d]: of an energy E where cotangent = dE/dD.

    Attributes:
        positions: [N, 3], d/dx of each atom: minus the forces.
        virial: [6], d/dstrain in the order xx yy zz yz xz xy.
        volume: of the cell, Å³; None without a cell.
    """

    positions: Array
    virial: Array
    volume: float | None = None

    @property
    def forces(self) -> Array:
        """[N, 3], -dE/dx."""
        return -self.positions

    @property
    def stress(self) -> Array:
        """[6], dE/dstrain divided by the volume, in the order and with the sign of ASE."""
        if self.volume is None:
            raise TorchMLError("there is no stress without a cell, expected a periodic structure")
        return self.virial / self.volume


class Descriptor:
    """A vector of `width` numbers for the environment of each atom.

    Structures are ASE's Atoms, periodic or not, in cells of any size, or Environments from the
    neighbour lists of the user. A list of structures is computed at once and returns a list.
    `threads` is the number of threads, 0: OpenMP's default; the results do not depend on it.

    Args:
        parameters: SymmetryFunctions, Bispectrum, SOAP, Xi, or a `preset`.
    """

    def __init__(self, parameters: Parameters) -> None:
        if not isinstance(parameters, Parameters):
            raise TorchMLError(
                f"the parameters of a descriptor are {parameters!r}, expected SymmetryFunctions, "
                "Bispectrum, SOAP, Xi or preset(...)"
            )
        self.parameters = parameters
        self.core = core.Descriptor(parameters.to_core())

    @property
    def kind(self) -> str:
        """SymmetryFunctions, Bispectrum, SOAP or Xi."""
        return self.parameters.kind

    @property
    def species(self) -> tuple[str, ...]:
        """Chemical symbols in the order of the species codes."""
        return tuple(self.parameters.species)

    @property
    def cutoff(self) -> float:
        """Largest cutoff (Å)."""
        return self.parameters.largest_cutoff

    @property
    def width(self) -> int:
        """Number of components."""
        return self.core.width

    def __repr__(self) -> str:
        return f"Descriptor({self.parameters}, width {self.width})"

    def labels(self) -> list[str]:
        """Return a readable name of each component, in the order of the output."""
        return labels_of(self.parameters)

    def environments(self, structure: Structure, indices: ArrayLike | None = None) -> Environments:
        """Return the neighbours of the atoms `indices`; None: of all atoms."""
        if not isinstance(structure, Environments):
            return Environments.of_atoms(structure, self.parameters, indices)
        if indices is not None:
            raise TorchMLError("indices are given for Environments, which have their own centers")
        return structure

    @overload
    def compute(
        self, structures: Structure, indices: ArrayLike | None = None, threads: int = 0
    ) -> Array: ...
    @overload
    def compute(
        self,
        structures: Sequence[Structure],
        indices: Sequence[ArrayLike] | None = None,
        threads: int = 0,
    ) -> list[Array]: ...
    def compute(self, structures: Any, indices: Any = None, threads: int = 0) -> Any:
        """Compute the descriptors.

        Args:
            structures: Atoms or Environments, or a list of them.
            indices: the atoms, for a list of structures a list of them; None: all atoms.
            threads: number of threads; 0: OpenMP's default.

        Returns:
            float[C, width], for a list of structures a list of them.
        """
        parts = self._parts(structures, indices)
        values = self.core.compute_edges(*Environments.joined(parts).arguments, threads)
        ends = np.cumsum([0, *(len(part.centers) for part in parts)])
        results = [values[begin:end] for begin, end in pairwise(ends)]
        return results if _is_batch(structures) else results[0]

    @overload
    def vjp(
        self,
        structures: Structure,
        cotangent: ArrayLike,
        indices: ArrayLike | None = None,
        threads: int = 0,
    ) -> Gradient: ...
    @overload
    def vjp(
        self,
        structures: Sequence[Structure],
        cotangent: Sequence[ArrayLike],
        indices: Sequence[ArrayLike] | None = None,
        threads: int = 0,
    ) -> list[Gradient]: ...
    def vjp(self, structures: Any, cotangent: Any, indices: Any = None, threads: int = 0) -> Any:
        """Compute vector-Jacobian products.

        With cotangent = dE/dD they are forces, virial and stress of the energy E.

        Args:
            structures: Atoms or Environments, or a list of them.
            cotangent: float[C, width], for a list of structures a list of them.
            indices: the atoms, for a list of structures a list of them; None: all atoms.
            threads: number of threads; 0: OpenMP's default.

        Returns:
            The gradient, for a list of structures a list of them.
        """
        batched = _is_batch(structures)
        cotangents = cotangent if batched else [cotangent]
        parts = self._parts(structures, indices)
        if len(cotangents) != len(parts):
            raise TorchMLError(
                f"{len(cotangents)} cotangents are given for {len(parts)} structures"
            )
        weights = [self._cotangent(*pair) for pair in zip(cotangents, parts, strict=True)]
        together = Environments.joined(parts)
        everything = np.concatenate([np.zeros((0, self.width)), *weights])
        edges = self.core.pull_back_edges(*together.arguments, everything, threads)
        results, begin = [], 0
        for part, structure in zip(parts, structures if batched else [structures], strict=True):
            end = begin + len(part.neighbors)
            results.append(_gradient(part, edges[begin:end], _volume(structure)))
            begin = end
        return results if batched else results[0]

    def jacobian(
        self, structure: Structure, indices: ArrayLike | None = None, threads: int = 0
    ) -> Array:
        """Compute all derivatives dD[c, d]/dx[a] (1/Å): [C, width, N, 3], mostly zeros.

        It costs `width` vector-Jacobian products: only for small structures.
        """
        part = self.environments(structure, indices)
        edges = self.edge_jacobian(part, threads)
        dense = np.zeros((len(part.centers), part.atoms, self.width, 3))
        np.add.at(dense, (part.edge_rows, part.neighbors), edges)
        np.add.at(dense, (part.edge_rows, part.edge_centers), -edges)
        return dense.swapaxes(1, 2)

    def edge_jacobian(self, environments: Environments, threads: int = 0) -> Array:
        """Compute the derivatives of the values of each centre by its edges: [E, width, 3]."""
        return self.core.jacobian_edges(*environments.arguments, threads)

    def _cotangent(self, values: ArrayLike, part: Environments) -> Array:
        weights = np.asarray(values, dtype=np.float64)
        if weights.shape != (len(part.centers), self.width):
            raise TorchMLError(
                f"the cotangent has the shape {list(weights.shape)}, expected "
                f"[{len(part.centers)}, {self.width}]"
            )
        return weights

    def _parts(self, structures: Any, indices: Any) -> list[Environments]:
        if not _is_batch(structures):
            return [self.environments(structures, indices)]
        if indices is None:
            indices = [None] * len(structures)
        if len(indices) != len(structures):
            raise TorchMLError(
                f"{len(indices)} lists of indices are given for {len(structures)} structures"
            )
        return [self.environments(*pair) for pair in zip(structures, indices, strict=True)]


def _is_batch(structures: Any) -> bool:
    # Atoms are a sequence too.
    return isinstance(structures, (list, tuple))


def _volume(structure: Structure) -> float | None:
    if isinstance(structure, Environments) or structure.cell.rank < 3:
        return None
    return float(structure.get_volume())


def _gradient(part: Environments, edges: Array, volume: float | None) -> Gradient:
    positions = np.zeros((part.atoms, 3))
    np.add.at(positions, part.neighbors, edges)
    np.add.at(positions, part.edge_centers, -edges)
    return Gradient(positions, to_voigt(edges.T @ part.vectors), volume)
