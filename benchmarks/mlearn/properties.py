"""Properties of a cubic crystal by any calculator of ASE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.optimize import LBFGS
from numpy.typing import NDArray
from scipy.optimize import brentq

from mlearn.crystals import lattice_of, unit_cell
from torchml import TorchMLError

STRAIN = 0.005
RANGE = 0.06  # of the lattice constant, in which the crystal must be at rest
STILL = 1e-3  # eV/Å: largest force of a relaxed crystal
RELAXED = 5e-3  # eV/Å: that of a vacancy
STEPS = 500
# Supercells of the vacancy, as in Zuo et al.
SUPERCELL = {"fcc": 3, "bcc": 3, "diamond": 2}
NUDGE = 0.02  # Å; a vacancy that lowers its symmetry must be able to


@dataclass(frozen=True)
class Properties:
    """Lattice constant (Å), elastic constants (GPa), vacancy formation energy (eV)."""

    a: float
    c11: float
    c12: float
    c44: float
    vacancy: float


def properties(element: str, calculator: Calculator) -> Properties:
    """Return the properties; raises TorchMLError where the crystal is not stable."""
    a = lattice_constant(element, calculator)
    return Properties(
        a, *elastic_constants(element, a, calculator), vacancy_energy(element, a, calculator)
    )


def lattice_constant(element: str, calculator: Calculator) -> float:
    """Return the lattice constant (Å) at which the crystal is at rest."""

    def tension(a: float) -> float:
        cell = unit_cell(element, a)
        cell.calc = calculator
        return float(cell.get_stress()[:3].sum())

    near = float(unit_cell(element).cell[0, 0])
    low, high = near * (1 - RANGE), near * (1 + RANGE)
    if not tension(low) < 0 < tension(high):
        raise TorchMLError(
            f"{element} is not at rest between {low:.2f} and {high:.2f} Å, expected a lattice "
            f"constant near {near:.2f} Å"
        )
    return float(brentq(tension, low, high, xtol=1e-5))


def elastic_constants(element: str, a: float, calculator: Calculator) -> tuple[float, float, float]:
    """Return C11, C12, C44 (GPa) from stresses at small strains, with the atoms at rest.

    Args:
        element: chemical symbol.
        a: lattice constant, Å.
        calculator: has forces and stress.
    """

    def slope(direction: NDArray[np.float64]) -> NDArray[np.float64]:
        ends = []
        for sign in (1, -1):
            cell = unit_cell(element, a)
            cell.set_cell(cell.cell.array @ (np.eye(3) + sign * STRAIN * direction), True)
            cell.calc = calculator
            _relax(cell, STILL)
            ends.append(cell.get_stress())
        return np.asarray((ends[0] - ends[1]) / (2 * STRAIN) / units.GPa)

    stretch = slope(np.diag([1.0, 0.0, 0.0]))
    shear = slope(np.array([[0, 0, 0], [0, 0, 0.5], [0, 0.5, 0]]))
    return float(stretch[0]), float(stretch[1:3].mean()), float(shear[3])


def vacancy_energy(
    element: str, a: float, calculator: Calculator, *, relax: bool = True, cells: int | None = None
) -> float:
    """Return the energy (eV) to take an atom out of a crystal and add it to the bulk.

    Args:
        element: chemical symbol.
        a: lattice constant, Å; the cell does not change.
        calculator: has forces.
        relax: move the atoms around the vacancy.
        cells: the crystal has `cells`³ cubic cells; by default as many as in Zuo et al.
    """
    whole = unit_cell(element, a).repeat(cells or SUPERCELL[lattice_of(element)])
    rest = whole.copy()
    del rest[0]
    if relax:
        rest.rattle(NUDGE, seed=2018)
    energies = []
    for atoms in (whole, rest):
        atoms.calc = calculator
        if relax:
            _relax(atoms, RELAXED)
        energies.append(float(atoms.get_potential_energy()))
    return energies[1] - energies[0] * len(rest) / len(whole)


def _relax(atoms: Atoms, force: float) -> None:
    with LBFGS(atoms, logfile=None) as optimizer:
        if not optimizer.run(fmax=force, steps=STEPS):
            raise TorchMLError(
                f"{len(atoms)} atoms did not come to rest within {STEPS} steps, expected forces "
                f"below {force} eV/Å"
            )
