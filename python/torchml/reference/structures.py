"""Structures that reveal errors, made for the species and the cutoff of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii

from torchml.errors import TorchMLError

SEED = 13
# Å, the radius of carbon: a crystal of hydrogen would have a thousand neighbours within 5 Å.
SMALLEST_RADIUS = 0.76


def default_structures(species: Sequence[str], cutoff: float) -> dict[str, Atoms]:
    """Return named structures, with the bond length of the largest element.

    Args:
        species: chemical symbols of the model.
        cutoff: of the model (Å).
    """
    rng = np.random.default_rng(SEED)
    first = species[0]
    bond = 1.05 * bond_length([max(species, key=_radius)] * 2)
    crystal = _diamond(first, bond)
    structures = {
        "crystal": _rattled(crystal.repeat(2), rng),
        "triclinic": _rattled(_strained(crystal, rng), rng),
        "thin cell": _rattled(_within(first, bond, cutoff), rng),
        "slab": _slab(_rattled(crystal.repeat((1, 1, 2)), rng)),
        "cluster": _cluster(_rattled(crystal.repeat(2), rng)),
        "lone atom": Atoms([first]),
        "far apart": Atoms([first] * 2, positions=[[0, 0, 0], [0, 0, cutoff + 1]]),
    }
    if len(species) > 1:
        mixed = _rattled(crystal.repeat((2, 1, 1)), rng)
        mixed.symbols = [species[i % len(species)] for i in rng.permutation(len(mixed))]
        structures["mixed species"] = mixed
    return structures


def bond_length(symbols: Sequence[str]) -> float:
    """Return the sum of the covalent radii of two atoms (Å); one symbol stands for two of it."""
    return max(2 * SMALLEST_RADIUS, _radius(symbols[0]) + _radius(symbols[-1]))


def _radius(symbol: str) -> float:
    return float(covalent_radii[atomic_numbers[symbol]])


def read_structures(path: str | Path) -> dict[str, Atoms]:
    """Read all structures of a file in a format of ASE."""
    if not Path(path).is_file():
        raise TorchMLError(f"{path}: no such file, expected structures in a format that ASE reads")
    try:
        images = ase.io.read(path, index=":")
    except Exception as error:  # ASE's readers raise errors of many types
        raise TorchMLError(f"{path}: ASE cannot read it ({error})") from error
    if not images:
        raise TorchMLError(f"{path}: holds no structure, expected at least one")
    return {f"{Path(path).name}:{index}": atoms for index, atoms in enumerate(images)}


def _diamond(symbol: str, bond: float) -> Atoms:
    """Eight atoms in a cube; an open structure in which no atoms come too close."""
    return bulk(symbol, "diamond", a=4 * bond / np.sqrt(3), cubic=True)


def _within(symbol: str, bond: float, cutoff: float) -> Atoms:
    """Two atoms in a primitive cell thinner than the cutoff: atoms are their own neighbours."""
    cell = _diamond(symbol, bond)
    primitive = bulk(symbol, "diamond", a=cell.cell.lengths()[0])
    thickness = 1 / np.linalg.norm(np.linalg.inv(primitive.cell.array), axis=0).max()
    if thickness >= cutoff:
        primitive.set_cell(primitive.cell * 0.95 * cutoff / thickness, scale_atoms=True)
    return primitive


def _rattled(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    atoms = atoms.copy()
    atoms.positions += rng.uniform(-0.1, 0.1, atoms.positions.shape)
    return atoms


def _strained(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.08, 0.08, (3, 3))), True)
    return atoms


def _slab(atoms: Atoms) -> Atoms:
    atoms = atoms.copy()
    atoms.pbc = [True, True, False]
    return atoms


def _cluster(atoms: Atoms) -> Atoms:
    """The 13 atoms nearest to the centre, without a cell."""
    distances = np.linalg.norm(atoms.positions - atoms.positions.mean(axis=0), axis=1)
    nearest = np.argsort(distances)[:13]
    return Atoms(atoms.symbols[nearest], positions=atoms.positions[nearest])
