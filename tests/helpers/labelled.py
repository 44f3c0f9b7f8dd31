"""Labelled structures for tests: metals and molecules with the energies of ASE's EMT."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from torchml.data import Configuration

LABELS = ("energy", "forces", "stress")
ARRAYS = (
    *("numbers", "positions", "cell", "pbc", "forces", "stress", "fixed", "tags"),
    "relaxed_positions",
)
VALUES = ("energy", "weights", "group", "sid", "fid", "relaxed_energy", "initial_energy", "info")


def labelled(atoms: Atoms, stress: bool = True) -> Atoms:
    """A copy with the results of EMT as fixed numbers."""
    atoms = atoms.copy()
    constraints, atoms.constraints = atoms.constraints, []
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if stress and atoms.pbc.all():
        results["stress"] = atoms.get_stress()
    atoms.constraints = constraints
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def structures() -> list[Atoms]:
    """An alloy, a slab with an adsorbate, tags and fixed atoms, and a molecule."""
    rng = np.random.default_rng(3)
    alloy = bulk("Cu", cubic=True) * (2, 1, 1)
    alloy.symbols[[1, 4]] = "Au"
    alloy.rattle(0.1, seed=4)
    alloy.set_cell(alloy.cell @ (np.eye(3) + 0.02 * rng.normal(size=(3, 3))), scale_atoms=True)
    slab = fcc111("Pt", size=(2, 2, 2), vacuum=6.0)
    add_adsorbate(slab, molecule("CO"), 1.8, "ontop")
    slab.set_constraint(FixAtoms(mask=slab.get_tags() == 2))
    slab.rattle(0.05, seed=5)
    slab.info.clear()
    slab.pbc = [True, True, False]
    water = molecule("H2O")
    water.rattle(0.02, seed=6)
    return [labelled(atoms) for atoms in (alloy, slab, water)]


def configurations() -> list[Configuration]:
    return [Configuration.from_atoms(atoms, index=k) for k, atoms in enumerate(structures())]


def assert_equal(first: Configuration, second: Configuration) -> None:
    """Whether two configurations are equal to the last bit, except for their source."""
    for name in ARRAYS:
        a, b = getattr(first, name), getattr(second, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype and a.shape == b.shape, name
            assert a.tobytes() == b.tobytes(), name
    for name in VALUES:
        assert getattr(first, name) == getattr(second, name), name
    assert first.targets.keys() == second.targets.keys()
    for name, value in first.targets.items():
        np.testing.assert_array_equal(value, second.targets[name], strict=True)
