"""The crystals of the elements, in the sizes of the measurements."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

from mlearn.published import DFT
from torchml import TorchMLError

LATTICE = {"Ni": "fcc", "Cu": "fcc", "Li": "bcc", "Mo": "bcc", "Si": "diamond", "Ge": "diamond"}
IN_CELL = {"fcc": 4, "bcc": 2, "diamond": 8}
RATTLE = 0.1  # Å


def lattice_of(element: str) -> str:
    """Return the lattice of an element of the data."""
    if element not in LATTICE:
        raise TorchMLError(f"the crystal of {element} is unknown, expected {' '.join(LATTICE)}")
    return LATTICE[element]


def unit_cell(element: str, lattice_constant: float | None = None) -> Atoms:
    """Return the cubic cell; without a lattice constant (Å), with that of DFT."""
    lattice = lattice_of(element)
    cell: Atoms = bulk(element, lattice, a=lattice_constant or DFT[element][0], cubic=True)
    return cell


def crystal(element: str, atoms: int, lattice_constant: float | None = None) -> Atoms:
    """Return a cube whose number of atoms is as near to `atoms` as cubes come."""
    in_cell = IN_CELL[lattice_of(element)]
    guess = round((atoms / in_cell) ** (1 / 3))
    sides = range(max(1, guess - 1), guess + 2)
    side = min(sides, key=lambda n: abs(n**3 * in_cell - atoms))
    return unit_cell(element, lattice_constant).repeat(side)


def rattled(atoms: Atoms) -> Atoms:
    """Return a copy in which every coordinate is moved by up to 0.1 Å, always in the same way."""
    copy: Atoms = atoms.copy()
    copy.positions += np.random.default_rng(2018).uniform(-RATTLE, RATTLE, copy.positions.shape)
    copy.wrap()
    return copy
