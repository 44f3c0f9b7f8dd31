"""Random structures: crystals, slabs with adsorbates, molecules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import add_adsorbate, bulk, diamond100, fcc100, fcc111, molecule
from ase.constraints import FixAtoms
from ase.data import atomic_numbers, reference_states
from numpy.typing import NDArray

Kinds = dict[str, Callable[[np.random.Generator], Atoms]]

BULK, SURFACE, ADSORBATE = 0, 1, 2  # tags, as the Open Catalyst Project has them
_METALS = ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")
_ADSORBATES = ("H", "N", "O", "OH", "NH", "CO", "NO", "H2O", "NH3")
_MOLECULES = ("H2O", "NH3", "CH4", "CO", "CO2", "CH3OH", "C2H4", "C2H6", "HCN", "N2", "CH3CHO")
_SITES = {"fcc111": ("ontop", "bridge", "fcc", "hcp"), "fcc100": ("ontop", "bridge", "hollow")}
_VACUUM = 8.0  # Å on each side of a slab
_STRAIN = 0.02  # standard deviation of the components of the strain of crystals


def alloy(rng: np.random.Generator) -> Atoms:
    """An fcc crystal of one or two metals at random places, slightly strained; 4 to 32 atoms."""
    pair = [_METALS[k] for k in rng.integers(len(_METALS), size=2)]
    side = sum(map(_lattice_constant, pair)) / 2
    atoms = bulk(pair[0], "fcc", a=side, cubic=True) * _repetitions(rng)
    atoms.symbols[rng.random(len(atoms)) < rng.random()] = pair[1]
    return _strained(atoms, rng)


def silicon(rng: np.random.Generator) -> Atoms:
    """A slightly strained crystal of silicon; 8 to 64 atoms."""
    return _strained(bulk("Si", cubic=True) * _repetitions(rng), rng)


def metal_slab(rng: np.random.Generator) -> Atoms:
    """Three layers of a metal with an adsorbate; the two lower ones are fixed."""
    kind = str(rng.choice(list(_SITES)))
    symbol = str(rng.choice(_METALS))
    size = (2, int(rng.integers(2, 4)), 3)
    build: Callable[..., Atoms] = {"fcc111": fcc111, "fcc100": fcc100}[kind]
    atoms = build(symbol, size, a=_lattice_constant(symbol), vacuum=_VACUUM)
    layer = atoms.get_tags()  # 1 is the uppermost
    name = str(rng.choice(_ADSORBATES))
    adsorbate = Atoms(name) if len(name) == 1 else molecule(name)
    adsorbate.rotate(float(rng.uniform(0, 360)), "z")
    lowest = int(np.argmin(adsorbate.positions[:, 2]))
    site = str(rng.choice(_SITES[kind]))
    add_adsorbate(atoms, adsorbate, rng.uniform(1.3, 2.0), site, mol_index=lowest)
    return _tagged(atoms, layer == 1)


def silicon_slab(rng: np.random.Generator) -> Atoms:
    """Four layers of silicon (100) with an adatom; the lower ones are fixed."""
    atoms = diamond100("Si", (2, int(rng.integers(2, 4)), 6), vacuum=_VACUUM)
    layer = atoms.get_tags()
    add_adsorbate(atoms, "Si", rng.uniform(1.2, 1.8), "ontop", offset=rng.random(2))
    return _tagged(atoms, layer <= 2)


def any_molecule(rng: np.random.Generator) -> Atoms:
    """A small molecule without a cell."""
    atoms: Atoms = molecule(str(rng.choice(_MOLECULES)))
    return atoms


# The kinds of structures that a potential can compute.
METALS: Kinds = {"crystals": alloy, "slabs": metal_slab, "molecules": any_molecule}
SILICON: Kinds = {"crystals": silicon, "slabs": silicon_slab}


def rattled(atoms: Atoms, amount: float, rng: np.random.Generator) -> Atoms:
    """Return a copy whose atoms, except for fixed ones, moved by `amount` Å (normal deviation)."""
    moved: Atoms = atoms.copy()
    steps = rng.normal(scale=amount, size=(len(atoms), 3))
    for constraint in atoms.constraints:
        steps[constraint.index] = 0
    moved.set_positions(atoms.positions + steps, apply_constraint=False)
    return moved


def _tagged(atoms: Atoms, surface: NDArray[np.bool_]) -> Atoms:
    """Tag and fix the atoms of a slab; those beyond its own are the adsorbate."""
    tags = np.full(len(atoms), ADSORBATE)
    tags[: len(surface)] = np.where(surface, SURFACE, BULK)
    atoms.set_tags(tags)
    atoms.set_constraint(FixAtoms(mask=tags == BULK))
    atoms.pbc = True  # as in OCP: the vacuum separates a slab from its images
    atoms.info.clear()
    return atoms


def _strained(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    strain = rng.normal(scale=_STRAIN, size=(3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    return atoms


def _repetitions(rng: np.random.Generator) -> tuple[int, int, int]:
    a, b, c = rng.integers(1, 3, size=3).tolist()
    return a, b, c


def _lattice_constant(symbol: str) -> float:
    state: Any = reference_states[atomic_numbers[symbol]]
    return float(state["a"])
