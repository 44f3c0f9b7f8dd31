"""Descriptors as functions that torch differentiates, to train networks on forces.

There are two ways to compute the forces of E = network(D(x)):

`descriptor_values` is a function of edge vectors (`edge_vectors` computes them from positions), and
torch.autograd.grad returns the forces. A loss of forces needs create_graph=True::

    positions.requires_grad_()
    values = descriptor_values(descriptor, environments, edge_vectors(environments, positions))
    (gradient,) = torch.autograd.grad(network(values).sum(), positions, create_graph=True)
    loss(-gradient).backward()

`linearize` computes the values and the Jacobian of a structure once; forces are then a product of
tensors, on any device. This suits structures with fixed positions, as in training::

    fixed = linearize(descriptor, environments)     # or Linearization.joined([...]) for a batch
    values = fixed.values.requires_grad_()
    (cotangent,) = torch.autograd.grad(network(values).sum(), values, create_graph=True)
    loss(-fixed.gradient(cotangent)).backward()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchml.descriptors.descriptor import Descriptor
from torchml.descriptors.environments import Environments
from torchml.errors import TorchMLError

# Largest displacement of an edge in a finite difference, Å.
_STEP = 1e-5


def edge_vectors(
    environments: Environments, positions: Tensor, strain: Tensor | None = None
) -> Tensor:
    """Return the vectors to the neighbours as a differentiable function of the positions.

    Args:
        environments: neighbours and their periodic images, which stay the same.
        positions: of the atoms, float[N, 3] (Å).
        strain: deformation of positions and cell, float[3, 3]; None: none.

    Returns:
        float[E, 3] (Å).
    """
    if positions.shape != (environments.atoms, 3):
        raise TorchMLError(
            f"positions have the shape {list(positions.shape)}, expected [{environments.atoms}, 3]"
        )
    device = positions.device
    centers = torch.from_numpy(environments.edge_centers).to(device)
    neighbors = torch.from_numpy(environments.neighbors).to(device)
    shifts = torch.from_numpy(environments.shifts).to(positions)
    vectors = positions.index_select(0, neighbors) - positions.index_select(0, centers) + shifts
    return vectors if strain is None else vectors + vectors @ strain


def descriptor_values(
    descriptor: Descriptor,
    environments: Environments,
    vectors: Tensor,
    threads: int = 0,
    quick: bool = False,
) -> Tensor:
    """Return the descriptors as a differentiable function of the edge vectors.

    The first derivative is the vector-Jacobian product of the C++ library. It can be differentiated
    again with respect to the cotangent, as a loss of forces requires. Second derivatives of the
    descriptor itself are not available and are NaN (so the `grad` of positions is NaN after the
    backward pass of a loss of forces).

    The computation is in float64 on the CPU; the result has the type and the device of `vectors`.

    Args:
        descriptor: the descriptor.
        environments: centres and neighbours.
        vectors: from the centres to the neighbours, float32 or float64 [E, 3] (Å).
        threads: number of threads; 0: OpenMP's default.
        quick: compute the second derivative by central differences of the values, accurate to
            about 1e-9, in the time of two evaluations; else by the Jacobian, `width` products.

    Returns:
        float[C, width].
    """
    if vectors.shape != environments.vectors.shape:
        raise TorchMLError(
            f"vectors have the shape {list(vectors.shape)}, expected "
            f"{list(environments.vectors.shape)}"
        )
    if vectors.dtype not in (torch.float32, torch.float64):
        raise TorchMLError(f"vectors are {vectors.dtype}, expected float32 or float64")
    call = _Call(descriptor, environments, threads, quick)
    values: Tensor = _Values.apply(vectors, call)  # type: ignore[no-untyped-call]
    return values


@dataclass(frozen=True)
class _Call:
    """The C++ library for fixed environments and variable vectors."""

    descriptor: Descriptor
    environments: Environments
    threads: int
    quick: bool

    def values(self, vectors: Tensor) -> Tensor:
        return torch.from_numpy(self._values(_array(vectors))).to(vectors)

    def pull_back(self, vectors: Tensor, cotangent: Tensor) -> Tensor:
        """[C, width] -> [E, 3]."""
        e = self.environments
        gradient = self.descriptor.core.pull_back_edges(
            e.center_species,
            e.offsets,
            e.neighbor_species,
            _array(vectors),
            _array(cotangent),
            self.threads,
        )
        return torch.from_numpy(gradient).to(vectors)

    def push_forward(self, vectors: Tensor, directions: Tensor) -> Tensor:
        """[E, 3] -> [C, width]: derivatives of the values along displacements of the edges."""
        places, along = _array(vectors), _array(directions)
        if self.quick:
            product, done = self._differences(places, along)
        else:
            product = np.zeros((len(self.environments.centers), self.descriptor.width))
            done = np.zeros(len(product), dtype=bool)
        for row in np.flatnonzero(~done):
            product[row] = self._product(places, along, int(row))
        return torch.from_numpy(product).to(vectors)

    def _product(
        self, places: NDArray[np.float64], along: NDArray[np.float64], row: int
    ) -> NDArray[np.float64]:
        """Multiply by the Jacobian of one centre: [width]."""
        e = self.environments
        edges = slice(int(e.offsets[row]), int(e.offsets[row + 1]))
        jacobian = self.descriptor.core.jacobian_edges(
            e.center_species[[row]],
            e.offsets[row : row + 2] - e.offsets[row],
            e.neighbor_species[edges],
            places[edges],
            self.threads,
        )
        product: NDArray[np.float64] = np.einsum("edx,ex->d", jacobian, along[edges])
        return product

    def _differences(
        self, places: NDArray[np.float64], along: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return central differences [C, width], and for which centres they are valid: bool[C].

        They are not valid across a cutoff, where the values of some kinds are discontinuous.
        """
        e = self.environments
        rows = e.edge_rows
        largest = np.zeros(len(e.centers))
        np.maximum.at(largest, rows, np.linalg.norm(along, axis=1))
        step = _STEP / np.where(largest > 0, largest, 1.0)  # of each centre
        moved = along * step[rows, None]
        change = self._values(places + moved) - self._values(places - moved)
        cutoffs = self.descriptor.parameters.cutoffs[e.center_species[rows], e.neighbor_species]
        close = np.abs(np.linalg.norm(places, axis=1) - cutoffs) < 2 * _STEP
        far = np.bincount(rows[close], minlength=len(e.centers)) == 0
        return change / (2 * step[:, None]), far

    def _values(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        e = self.environments
        return self.descriptor.core.compute_edges(
            e.center_species, e.offsets, e.neighbor_species, places, self.threads
        )


def _array(tensor: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = tensor.detach().to("cpu", torch.float64).contiguous().numpy()
    return array


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, call: _Call) -> Tensor:
        ctx.save_for_backward(vectors)
        ctx.call = call
        return call.values(vectors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (vectors,) = ctx.saved_tensors
        vectors = _NoSecondDerivative.apply(vectors)  # type: ignore[no-untyped-call]
        return _PullBack.apply(vectors, *gradients, ctx.call), None  # type: ignore[no-untyped-call]


class _PullBack(torch.autograd.Function):
    """Vector-Jacobian product; its derivative by the cotangent is the Jacobian."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, cotangent: Tensor, call: _Call) -> Tensor:
        ctx.save_for_backward(vectors)
        ctx.call = call
        return call.pull_back(vectors, cotangent)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (directions,) = gradients
        (vectors,) = ctx.saved_tensors
        pushed = _PushForward.apply(vectors, directions, ctx.call)  # type: ignore[no-untyped-call]
        return torch.zeros_like(vectors), pushed, None


class _PushForward(torch.autograd.Function):
    """Jacobian-vector product, the adjoint of _PullBack."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, directions: Tensor, call: _Call) -> Tensor:
        ctx.save_for_backward(vectors)
        ctx.call = call
        return call.push_forward(vectors, directions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (cotangent,) = gradients
        (vectors,) = ctx.saved_tensors
        pulled = _PullBack.apply(vectors, cotangent, ctx.call)  # type: ignore[no-untyped-call]
        return torch.zeros_like(vectors), pulled, None


class _NoSecondDerivative(torch.autograd.Function):
    """The vectors, with the derivative NaN instead of a wrong number.

    An error would stop loss.backward(), which computes the gradients of all leaves.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        return vectors.view_as(vectors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return torch.full_like(gradients[0], torch.nan)


@dataclass(frozen=True, eq=False)
class Linearization:
    """Values of the descriptor of fixed structures, and their Jacobian with respect to the atoms.

    Attributes:
        values: [C, width].
        jacobian: [E, width, 3], of the values of an edge's centre with respect to its vector.
        vectors: [E, 3], Å.
        rows: int64[E], the centre of each edge, as a row of `values`.
        centers: int64[C], the atom of each centre.
        center_species: int64[C], species codes of the centres.
        neighbors: int64[E], the atom at the end of each edge.
        atom_structure: int64[N], the structure of each atom.
        structures: number of structures.
    """

    values: Tensor
    jacobian: Tensor
    vectors: Tensor
    rows: Tensor
    centers: Tensor
    center_species: Tensor
    neighbors: Tensor
    atom_structure: Tensor
    structures: int = 1

    @property
    def center_structure(self) -> Tensor:
        """int64[C], the structure of each centre."""
        return self.atom_structure.index_select(0, self.centers)

    def energies(self, of_centers: Tensor) -> Tensor:
        """Return the sums over the centres of each structure: [C] -> [structures]."""
        return of_centers.new_zeros(self.structures).index_add(0, self.center_structure, of_centers)

    def edge_gradient(self, cotangent: Tensor) -> Tensor:
        """Return the vector-Jacobian product for the edge vectors: [C, width] -> [E, 3]."""
        return torch.einsum("ed,edx->ex", cotangent.index_select(0, self.rows), self.jacobian)

    def gradient(self, cotangent: Tensor) -> Tensor:
        """Return it for the positions: [C, width] -> [N, 3]; minus the forces if it is dE/dD."""
        edges = self.edge_gradient(cotangent)
        owners = self.centers.index_select(0, self.rows)
        zeros = edges.new_zeros(self.atom_structure.size(0), 3)
        return zeros.index_add(0, self.neighbors, edges).index_add(0, owners, -edges)

    def virial(self, cotangent: Tensor) -> Tensor:
        """Return it for strains: [C, width] -> [structures, 3, 3]; stress times volume (eV)."""
        edges = self.edge_gradient(cotangent)
        outer = edges.unsqueeze(2) * self.vectors.unsqueeze(1)
        outer = 0.5 * (outer + outer.transpose(1, 2))
        zeros = outer.new_zeros(self.structures, 3, 3)
        return zeros.index_add(0, self.center_structure.index_select(0, self.rows), outer)

    def to(self, *args: Any, **kwargs: Any) -> Linearization:
        """Convert like Tensor.to; a float type does not apply to the indices."""
        values = self.values.to(*args, **kwargs)
        others = [
            field.name for field in fields(self) if field.name not in ("values", "structures")
        ]
        moved = {
            name: getattr(self, name).to(
                values if getattr(self, name).is_floating_point() else values.device
            )
            for name in others
        }
        return Linearization(values=values, structures=self.structures, **moved)

    @classmethod
    def joined(cls, parts: Sequence[Linearization]) -> Linearization:
        """Join structures; atoms are numbered consecutively over the structures."""
        if not parts:
            raise TorchMLError("no structures are given, expected at least one")
        rows, centers, neighbors, structures = [], [], [], []
        row = atom = structure = 0
        for part in parts:
            rows.append(part.rows + row)
            centers.append(part.centers + atom)
            neighbors.append(part.neighbors + atom)
            structures.append(part.atom_structure + structure)
            row += len(part.values)
            atom += len(part.atom_structure)
            structure += part.structures
        return cls(
            values=torch.cat([part.values for part in parts]),
            jacobian=torch.cat([part.jacobian for part in parts]),
            vectors=torch.cat([part.vectors for part in parts]),
            rows=torch.cat(rows),
            centers=torch.cat(centers),
            center_species=torch.cat([part.center_species for part in parts]),
            neighbors=torch.cat(neighbors),
            atom_structure=torch.cat(structures),
            structures=structure,
        )


def linearize(
    descriptor: Descriptor,
    environments: Environments,
    dtype: torch.dtype = torch.float64,
    threads: int = 0,
) -> Linearization:
    """Compute values and Jacobian of a structure.

    It takes `width` vector-Jacobian products and, in float64, 24 `width` bytes for each edge.

    Args:
        descriptor: the descriptor.
        environments: centres, neighbours and vectors of the structure.
        dtype: float type of the result.
        threads: number of threads; 0: OpenMP's default.

    Returns:
        The values and their derivatives by the edge vectors.
    """
    values = descriptor.core.compute_edges(*environments.arguments, threads)
    return Linearization(
        values=torch.from_numpy(values).to(dtype),
        jacobian=torch.from_numpy(descriptor.edge_jacobian(environments, threads)).to(dtype),
        vectors=torch.from_numpy(environments.vectors).to(dtype),
        rows=torch.from_numpy(environments.edge_rows),
        centers=torch.from_numpy(environments.centers),
        center_species=torch.from_numpy(environments.center_species.astype(np.int64)),
        neighbors=torch.from_numpy(environments.neighbors),
        atom_structure=torch.zeros(environments.atoms, dtype=torch.int64),
    )
