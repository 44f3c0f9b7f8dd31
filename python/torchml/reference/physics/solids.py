"""Crystals: the equation of state, and elastic constants of cubic crystals at lowest energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.eos import EquationOfState
from scipy.optimize import brentq

from torchml.reference.agreement import Agreement, Check, compared
from torchml.reference.physics.curves import Curve, Path, follow
from torchml.reference.physics.evaluating import (
    Evaluate,
    deformed,
    energy_of,
    strained,
    virial_of,
)
from torchml.reference.structures import bond_length

# Nearest neighbours of cubic crystals, in lattice constants.
ELEMENTS = {"fcc": 0.5**0.5, "bcc": 0.75**0.5, "diamond": 3**0.5 / 4}
COMPOUNDS = {"rocksalt": 0.5, "zincblende": 3**0.5 / 4}
SCANNED = np.linspace(0.85, 1.45, 13)  # bonds, in bond lengths of the covalent radii
FITTED = np.linspace(-3, 3, 7)  # changes of the lattice constant that ASE fits, in strains
WIDE = (0.94, 1.06)  # of the equation of state
INTERVALS = 12
SMALLEST_CONSTANT = 1.0  # GPa: smaller constants are compared with it


@dataclass(frozen=True)
class Crystal:
    """A cubic crystal.

    Attributes:
        name: lattice and elements, such as "diamond Si".
        atoms: its cubic cell.
        is_lowest: whether its energy has a minimum there.
    """

    name: str
    atoms: Atoms
    is_lowest: bool


@dataclass(frozen=True)
class Elastic:
    """Bulk modulus and elastic constants of a cubic crystal (GPa), its atoms not relaxed.

    Attributes:
        bulk: modulus from the stress.
        bulk_of_ase: the same from ASE's fit of the energies.
        from_stress: C11, C12, C44 as derivatives of the stress.
        from_energy: the same as second derivatives of the energy.
    """

    bulk: float
    bulk_of_ase: float
    from_stress: tuple[float, float, float]
    from_energy: tuple[float, float, float]

    @property
    def is_stable(self) -> bool:
        """Whether each small strain costs energy (M. Born, 1940)."""
        c11, c12, c44 = self.from_stress
        return c11 > abs(c12) and c11 + 2 * c12 > 0 and c44 > 0


def lowest_crystals(evaluate: Evaluate, species: Sequence[str], most: int) -> list[Crystal]:
    """Return the cubic crystal of lowest energy of each of a few species, and of the first two.

    A potential without a minimum gives a crystal with usual bonds, for the equation of state alone.
    """
    crystals = [_lowest(evaluate, [symbol], ELEMENTS) for symbol in species[:most]]
    if len(species) > 1:
        crystals.append(_lowest(evaluate, species[:2], COMPOUNDS))
    return crystals


def equation_of_state(evaluate: Evaluate, crystal: Crystal, epsilon: float) -> Curve:
    """Follow the energy by the lattice constant; its slope is that of the virial."""
    length = float(crystal.atoms.cell.lengths()[0])
    curve = Curve("equation of state", crystal.name, "lattice constant (Å)")
    if crystal.is_lowest:
        curve.marks["lowest"] = length
    start, end = (length * share for share in WIDE)
    follow(curve, _by_length(evaluate, crystal.atoms), start, end, INTERVALS, epsilon)
    return curve


def elastic_constants(evaluate: Evaluate, crystal: Crystal, strain: float) -> Elastic:
    """Compute moduli at the lowest energy, from stresses and from energies.

    Args:
        evaluate: returns the evaluation of a structure, virial included.
        crystal: with a minimum of the energy.
        strain: size of the strains.
    """
    atoms = crystal.atoms
    factor = 1 / (atoms.get_volume() * units.GPa)

    def energy(xx: float = 0.0, yy: float = 0.0, yz: float = 0.0) -> float:
        deformation = np.diag([1 + xx, 1 + yy, 1.0])
        deformation[1, 2] = deformation[2, 1] = yz / 2
        return energy_of(evaluate(deformed(atoms, deformation)))

    def slope(row: int, column: int, stress: int) -> float:
        above, below = (
            virial_of(found) / structure.get_volume() / units.GPa
            for structure in (strained(atoms, row, column, s) for s in (strain, -strain))
            for found in (evaluate(structure),)
        )
        return float(above[stress] - below[stress]) / (2 * strain)

    twice = 2 * energy()
    h2 = strain**2
    mixed = energy(strain, strain) + energy(-strain, -strain)
    mixed -= energy(strain, -strain) + energy(-strain, strain)
    c11 = (energy(strain) + energy(-strain) - twice) / h2
    c44 = (energy(yz=strain) + energy(yz=-strain) - twice) / h2
    from_stress = (slope(0, 0, 0), slope(0, 0, 1), slope(1, 2, 3))
    return Elastic(
        bulk=(from_stress[0] + 2 * from_stress[1]) / 3,
        bulk_of_ase=_bulk_of_ase(evaluate, atoms, strain),
        from_stress=from_stress,
        from_energy=(c11 * factor, mixed / (4 * h2) * factor, c44 * factor),
    )


def elastic_checks(found: Elastic, crystal: Crystal, allowed: Agreement) -> list[Check]:
    """Compare the moduli of both ways; a crystal that some strain makes lower is a warning."""
    scale = max(SMALLEST_CONSTANT, *map(abs, found.from_energy))
    modulus = abs(found.bulk - found.bulk_of_ase) / max(SMALLEST_CONSTANT, abs(found.bulk))
    errors = np.abs(np.subtract(found.from_stress, found.from_energy)) / scale
    worst = float(np.nan_to_num(errors, nan=np.inf).max())
    checks = [
        compared("bulk modulus against ASE", crystal.name, modulus, allowed.elastic),
        compared("elastic constants", crystal.name, worst, allowed.elastic),
    ]
    if not found.is_stable:
        constants = ", ".join(f"{constant:.3g}" for constant in found.from_stress)
        detail = f"a strain lowers the energy: C11, C12, C44 are {constants} GPa"
        checks.append(Check("crystal of lowest energy is stable", "warn", detail, crystal.name))
    return checks


def _lowest(evaluate: Evaluate, symbols: Sequence[str], lattices: dict[str, float]) -> Crystal:
    """The lattice with the lowest minimum of the energy; the first of them if there is none."""
    formula, bond = "".join(symbols), bond_length(symbols)
    found: list[tuple[float, Crystal]] = []
    for lattice, nearest in lattices.items():
        start = bulk(formula, lattice, a=bond / nearest, cubic=True)
        path = _by_length(evaluate, start)
        lengths = SCANNED * bond / nearest
        energies = np.array([path(length)[0] for length in lengths]) / len(start)
        for k in range(1, len(lengths) - 1):
            if not energies[k - 1] > energies[k] < energies[k + 1]:
                continue
            low, high = float(lengths[k - 1]), float(lengths[k + 1])
            if not path(low)[1] < 0 < path(high)[1]:
                continue
            length = brentq(lambda a, path=path: path(a)[1], low, high, xtol=1e-8)
            atoms = deformed(start, np.eye(3) * length * nearest / bond)
            found.append((float(energies[k]), Crystal(f"{lattice} {formula}", atoms, True)))
    if found:
        return min(found, key=lambda entry: entry[0])[1]
    lattice, nearest = next(iter(lattices.items()))
    atoms = bulk(formula, lattice, a=bond / nearest, cubic=True)
    return Crystal(f"{lattice} {formula}", atoms, False)


def _by_length(evaluate: Evaluate, atoms: Atoms) -> Path:
    """Energy and slope by the lattice constant (Å)."""
    start = float(atoms.cell.lengths()[0])

    def path(length: float) -> tuple[float, float]:
        found = evaluate(deformed(atoms, np.eye(3) * length / start))
        return energy_of(found), float(virial_of(found)[:3].sum()) / length

    return path


def _bulk_of_ase(evaluate: Evaluate, atoms: Atoms, strain: float) -> float:
    """The bulk modulus (GPa) of ASE's fit; nan where it finds no minimum."""
    scaled = [deformed(atoms, np.eye(3) * (1 + share)) for share in strain * FITTED]
    volumes = [one.get_volume() for one in scaled]
    energies = [energy_of(evaluate(one)) for one in scaled]
    try:
        _, _, modulus = EquationOfState(volumes, energies).fit(warn=False)
    except (ValueError, RuntimeError):
        return float("nan")
    return float(modulus) / units.GPa
