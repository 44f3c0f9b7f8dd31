"""Edges of a structure, and its forces and stress as sums over edges."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .source import Results, Structure


def edges_of(structure: Structure, cutoff: float) -> tuple[Tensor, Tensor]:
    """All pairs closer than the cutoff, an atom and its own images among them.

    They are found by a search over all pairs and lattice shifts.

    Args:
        structure: whose cell has a volume.
        cutoff: Å.

    Returns:
        edge vectors, position of the source minus position of the target, float64[E, 3] (Å), and
        edge_index, row 0 source, row 1 target, i64[2, E].
    """
    inverse = np.linalg.inv(structure.cell)
    spread = np.ptp(structure.positions @ inverse, axis=0)
    reach = np.ceil(cutoff * np.linalg.norm(inverse, axis=0) + spread).astype(int)
    shifts = np.stack(
        np.meshgrid(
            *[np.arange(-n, n + 1) for n in reach * np.array(structure.pbc)], indexing="ij"
        ),
        -1,
    ).reshape(-1, 3)
    images = structure.positions[:, None] + (shifts @ structure.cell)[None]
    vectors = images[None] - structure.positions[:, None, None]  # target, source, shift
    distances = np.linalg.norm(vectors, axis=-1)
    target, source, shift = np.nonzero((distances < cutoff) & (distances > 1e-8))
    return (
        torch.from_numpy(vectors[target, source, shift]),
        torch.from_numpy(np.stack([source, target])),
    )


def results_of(
    structure: Structure, energies: Tensor, vectors: Tensor, index: Tensor, gradient: Tensor
) -> Results:
    """Energy, forces, stress and energies of the atoms.

    Args:
        structure: whose cell has a volume.
        energies: of the atoms, float[N] (eV).
        vectors, index: of `edges_of`.
        gradient: of their sum by the edge vectors, float[E, 3] (eV/Å).
    """
    energies, vectors, gradient = energies.detach().double(), vectors.double(), gradient.double()
    forces = torch.zeros(len(structure.symbols), 3, dtype=torch.float64)
    forces.index_add_(0, index[1], gradient).index_add_(0, index[0], -gradient)
    virial = (vectors.T @ gradient + gradient.T @ vectors) / 2
    stress = virial / abs(float(np.linalg.det(structure.cell)))
    rows, columns = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
    return Results(
        energies.sum().item(), forces.numpy(), stress[rows, columns].numpy(), energies.numpy()
    )
