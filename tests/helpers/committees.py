"""Small committees: of networks that differ in all weights, or in those of the last layer."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from helpers.networks import MAKERS
from torchml.models import Committee, EdgeModel, Posterior, Scaled, SchNet

SPECIES = ["Si", "O"]
CUTOFF = 3.0


def member(seed: int, species: list[str] = SPECIES, layers: int = 2) -> Scaled:
    """A network with forces of some eV/Å, which differ from seed to seed."""
    torch.manual_seed(seed)
    model = Scaled(SchNet(species, CUTOFF, layers=layers, features=6, gaussians=5))
    model.set_normalization({"Si": -3.0 - 0.1 * seed, "O": 5.0}, 300.0)
    return model.eval()


def members(count: int = 3) -> list[EdgeModel]:
    """Of which the last one has its elements in another order."""
    found: list[EdgeModel] = [member(k) for k in range(count - 1)]
    return [*found, member(count - 1, SPECIES[::-1])]


def committee(count: int = 3) -> Committee:
    model = Committee(members(count))
    model.eval()
    return model


def posterior(name: str = "ACE", count: int = 3) -> Scaled:
    """A potential with members that differ in its last layer by some percent."""
    torch.manual_seed(2)
    network = Posterior(MAKERS[name](), count)
    draws = 0.1 * torch.randn_like(network.draws)
    network.draws.copy_(draws - draws.mean(1, keepdim=True))
    model = Scaled(network)
    model.set_normalization({"Si": -3.0, "O": 5.0}, 0.7)
    return model.eval()


def quartz(repeat: int = 1) -> Atoms:
    """Atoms of both elements at random distances from a lattice."""
    atoms = bulk("Si", "diamond", a=4.4, cubic=True).repeat((repeat, 1, 1))
    atoms.symbols = SPECIES * (len(atoms) // 2)
    atoms.rattle(0.15, seed=3)
    return atoms


def deviations(forces: list[np.ndarray]) -> np.ndarray:
    """sqrt(sum_k |F_k - mean|^2 / (k - 1)) of each atom, from the forces of the members."""
    mean = sum(forces) / len(forces)
    squares = sum(((one - mean) ** 2).sum(axis=1) for one in forces)
    return np.asarray(np.sqrt(squares / (len(forces) - 1)))
