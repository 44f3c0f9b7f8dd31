"""Configurations to and from ASE's Atoms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.extras import extras_of
from torchml.data.keys import RELAXED_POSITIONS, Keys
from torchml.data.labels import configuration_of

# Arrays of Atoms that are structure, or that ASE derives; everything else may be a label.
_STRUCTURE = {"numbers", "positions", "tags"}
# Results of calculators with a row for each atom.
PER_ATOM = {"forces", "energies", "stresses", "charges", "magmoms"}


def to_atoms(configuration: Configuration) -> Atoms:
    """Return ASE's Atoms: labels in a SinglePointCalculator, targets in arrays or info."""
    c = configuration
    atoms = Atoms(numbers=c.numbers, positions=c.positions, cell=c.cell, pbc=c.pbc, tags=c.tags)
    if c.fixed is not None and c.fixed.any():
        atoms.set_constraint(FixAtoms(mask=c.fixed))
    results: dict[str, Any] = {"energy": c.energy, "forces": c.forces, "stress": c.stress}
    results = {name: value for name, value in results.items() if value is not None}
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    if c.group is not None:
        atoms.info["group"] = c.group
    for term in ("energy", "forces", "stress"):
        weight = getattr(c.weights, term)
        if weight != 1:
            atoms.info[f"{term}_weight"] = weight
    extras = extras_of(c, without=c.targets)
    if RELAXED_POSITIONS in extras:
        atoms.set_array(RELAXED_POSITIONS, extras.pop(RELAXED_POSITIONS))
    atoms.info |= extras
    for name, value in c.targets.items():
        if value.ndim and len(value) == len(c):
            atoms.set_array(name, value)
        else:
            atoms.info[name] = value.item() if value.ndim == 0 else value
    return atoms


def from_atoms(atoms: Atoms, keys: Keys | None, source: str, index: int) -> Configuration:
    """Return a configuration with the labels of calculator results, info and arrays.

    Nothing is computed. Forces are those of the calculator, also on constrained atoms.
    """
    labels, columns = labels_of(atoms)
    configuration = configuration_of(
        atoms.numbers,
        atoms.positions,
        atoms.cell.array,
        atoms.pbc,
        labels,
        keys or Keys(),
        source,
        index,
        fixed=fixed_of(atoms),
        tags=atoms.arrays.get("tags"),
        columns=columns,
    )
    constraint = other_constraint(atoms.constraints)
    return configuration if constraint is None else replace(configuration, constraint=constraint)


def labels_of(atoms: Atoms) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what may be a label, of the structure and of its atoms: results, info and arrays."""
    labels = dict(atoms.info)
    columns = {name: value for name, value in atoms.arrays.items() if name not in _STRUCTURE}
    results = {} if atoms.calc is None else atoms.calc.results
    for name, value in results.items():
        if value is not None:
            (columns if name in PER_ATOM else labels)[name] = value
    return labels, columns


def lift_user_values(atoms: Atoms) -> None:
    """Move the user's own values, which ASE keeps one level down, into info."""
    for inner in ("key_value_pairs", "data"):
        atoms.info |= atoms.info.pop(inner, {})


def fixed_of(atoms: Atoms) -> NDArray[np.bool_] | None:
    """Return the atoms that constraints fix in all directions, bool[N]; None if unconstrained."""
    return fixed_by(atoms.constraints, len(atoms)) if atoms.constraints else None


def fixed_by(constraints: Iterable[Any], atoms: int) -> NDArray[np.bool_]:
    """Return which of so many atoms constraints of ASE fix in all directions, bool[atoms]."""
    fixed = np.zeros(atoms, dtype=bool)
    for constraint in constraints:
        if _fixes_atoms(constraint):
            fixed[constraint.index] = True
    return fixed


def other_constraint(constraints: Iterable[Any]) -> str | None:
    """Return the class of the first constraint of ASE that does not just fix atoms, if any."""
    others = (type(one).__name__ for one in constraints if not _fixes_atoms(one))
    return next(others, None)


def _fixes_atoms(constraint: Any) -> bool:
    """Whether atoms are fixed in all directions."""
    whole = isinstance(constraint, FixCartesian) and bool(np.all(constraint.mask))
    return whole or isinstance(constraint, FixAtoms)
