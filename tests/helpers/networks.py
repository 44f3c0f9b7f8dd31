"""Small models of the package, and functions for their tests."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import primitive_neighbor_list

from torchml.models import (
    ACE,
    EGNN,
    GCN,
    BehlerParrinello,
    DescriptorPotential,
    DimeNetPP,
    GAANet,
    PaiNN,
    Scaled,
    SchNet,
    TensorNet,
)

SPECIES = ["Si", "O"]
CUTOFF = 3.0


def scaled(**options):
    model = Scaled(PaiNN(SPECIES, CUTOFF, layers=2, features=8, radial_functions=6, **options))
    model.set_normalization({"Si": -3.0, "O": 5.0}, 0.7)
    return model


MAKERS = {
    "ACE": lambda **k: ACE(
        SPECIES, CUTOFF, radial_functions=6, degrees=[3, 2], channels=8, densities=2, hidden=8,
        **{"dtype": "float64", **k},
    ),
    "SchNet": lambda **k: SchNet(SPECIES, CUTOFF, layers=3, features=16, gaussians=8, **k),
    "PaiNN": lambda **k: PaiNN(SPECIES, CUTOFF, layers=3, features=8, radial_functions=6, **k),
    "DimeNetPP": lambda **k: DimeNetPP(
        SPECIES, CUTOFF, layers=3, features=8, triplet_features=6, radial_functions=4,
        spherical_degrees=4, spherical_functions=3, basis_features=5, **k,
    ),
    "EGNN": lambda **k: EGNN(SPECIES, CUTOFF, layers=3, features=8, radial_functions=6, **k),
    "EGNN attention": lambda **k: EGNN(SPECIES, CUTOFF, layers=2, features=8, attention=True, **k),
    "GCN": lambda **k: GCN(SPECIES, CUTOFF, layers=3, features=8, radial_functions=6, **k),
    "GAANet": lambda **k: GAANet(SPECIES, CUTOFF, layers=2, features=8, radial_functions=6, **k),
    "BehlerParrinello": lambda **k: BehlerParrinello(SPECIES, CUTOFF, hidden=[8], **k),
    "BehlerParrinello G5": lambda **k: BehlerParrinello(
        SPECIES, CUTOFF, hidden=[8], angular="G5", zetas=[1, 3], **k
    ),
    "TensorNet": lambda **k: TensorNet(
        SPECIES, CUTOFF, layers=3, features=8, radial_functions=6, **k
    ),
    "Scaled": scaled,
}  # fmt: skip

# Computed in C++: without second derivatives by positions, and with a script of another convention.
ON_DESCRIPTORS = {
    "DescriptorPotential": lambda **k: DescriptorPotential(
        SPECIES, CUTOFF, "Bispectrum", {"twojmax": 4, "weights": [0.4, 0.3]}, hidden=[8], **k
    ),
}


def make(name: str, **options):
    """Set random weights, biases included, as after a training."""
    torch.manual_seed(sum(map(ord, name)))
    model = {**MAKERS, **ON_DESCRIPTORS}[name](**options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight += 0.1 * noise.to(weight.dtype)
    return model


def cluster(n: int = 20, width: float = 5.0, seed: int = 2) -> np.ndarray:
    """Positions at random, no two closer than 1.2 Å: [n, 3]."""
    generator = np.random.default_rng(seed)
    positions = np.empty((0, 3))
    while len(positions) < n:
        candidate = generator.uniform(0, width, 3)
        if (np.linalg.norm(positions - candidate, axis=1) > 1.2).all():
            positions = np.vstack([positions, candidate])
    return positions


def edges_of(atoms: Atoms, cutoff: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Edges [2, E] of the atoms in their cell and the shift [E, 3] (Å) of every vector."""
    i, j, shift = primitive_neighbor_list("ijS", atoms.pbc, atoms.cell, atoms.positions, cutoff)
    return torch.tensor(np.stack([j, i])), torch.tensor(shift @ atoms.cell.array)


def energies(model, codes, positions, edge_index, shifts=0.0):
    """Energies of atoms in a periodic cell: [N]."""
    vectors = positions[edge_index[0]] - positions[edge_index[1]] + shifts
    n, e = len(codes), edge_index.size(1)
    return model(codes, vectors, edge_index, [n] * (model.layers + 1), [e] * model.layers)


def free_energies(model, codes, positions):
    """Energies of a cluster in vacuum."""
    edge_index, _ = edges_of(Atoms(positions=positions.detach().numpy()), model.cutoff)
    return energies(model, codes, positions, edge_index)
