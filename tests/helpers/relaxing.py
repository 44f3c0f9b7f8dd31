"""Structures to relax: silicon for Stillinger-Weber, metals for EMT, some atoms fixed."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111
from ase.constraints import FixAtoms

from helpers.portable import cluster


def silicon(count: int, seed: int = 0) -> list[Atoms]:
    """Rattled crystals with a vacancy, slabs and clusters of 5 to 31 atoms, some atoms fixed."""
    generator = np.random.default_rng(seed)
    return [_silicon(k, generator) for k in range(count)]


def _silicon(k: int, generator: np.random.Generator) -> Atoms:
    if k % 3 == 0:
        atoms = cluster(5 + k % 13, seed=k)
    else:
        cells = ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 2), (1, 1, 1), (2, 1, 1), (2, 2, 1))[k % 7]
        atoms = bulk("Si", "diamond", 5.43, cubic=True).repeat(cells)
        if k % 3 == 1:
            del atoms[0]
        else:
            atoms.center(vacuum=5.0, axis=2)
            atoms.pbc = (True, True, False)
    atoms.positions += generator.normal(0, 0.05, atoms.positions.shape)
    if k % 2:
        order = np.argsort(atoms.positions[:, 2])
        atoms.set_constraint(FixAtoms(order[: len(atoms) // 3]))
    atoms.info["sid"] = f"random{k}"
    return atoms


def metals(count: int, seed: int = 0) -> list[Atoms]:
    """Small rattled slabs of copper, the lower layer fixed."""
    generator = np.random.default_rng(seed)
    structures = []
    for k in range(count):
        atoms = fcc111("Cu", size=(1, 1 + k % 2, 3), vacuum=4.0)
        atoms.positions += generator.normal(0, 0.1, atoms.positions.shape)
        atoms.set_constraint(FixAtoms(mask=atoms.get_tags() == 3))
        atoms.info = {"sid": f"slab{k}"}
        structures.append(atoms)
    return structures
