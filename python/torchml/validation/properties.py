"""Physics of a model as checks and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from ase import Atoms

from torchml.errors import TorchMLError
from torchml.reference.agreement import Agreement, Check, compared, failure, holds
from torchml.reference.physics.curves import Curve
from torchml.reference.physics.derivatives import (
    finite_difference_forces,
    finite_difference_virial,
)
from torchml.reference.physics.dynamics import TEMPERATURE, drift, time_step, total_energies
from torchml.reference.physics.evaluating import Evaluate
from torchml.reference.physics.isolated import isolated_atoms, isolated_energies
from torchml.reference.physics.repeats import repeats
from torchml.reference.physics.solids import Crystal, elastic_checks, elastic_constants
from torchml.reference.physics.symmetries import symmetries_of

SIMULATED = 50.0  # ps
SHOWN = 400  # energies of a simulation in its curve
SMALLEST_EDGE = 9.0  # Å, of the cell of a simulation


def structure_checks(
    evaluate: Evaluate, name: str, atoms: Atoms, allowed: Agreement, *, repeated: bool = True
) -> Iterator[Check]:
    """Yield the checks of derivatives, symmetries and repeated calls on a structure.

    Args:
        evaluate: returns energy, forces and virial of a structure.
        name: of the structure.
        atoms: the structure.
        allowed: the tolerances.
        repeated: check that a repeated call gives the same bits.
    """
    checks: dict[str, tuple[Callable[[], float], float]] = {
        "forces = -dE/dx": (
            partial(finite_difference_forces, evaluate, atoms, allowed.step),
            allowed.derivative,
        ),
        "virial = dE/dstrain": (
            partial(finite_difference_virial, evaluate, atoms, allowed.strain),
            allowed.derivative,
        ),
    }
    for symmetry, function in symmetries_of(atoms).items():
        checks[symmetry] = partial(function, evaluate, atoms), allowed.symmetry
    for check, (measure, tolerance) in checks.items():
        try:
            yield compared(check, name, measure(), tolerance)
        except TorchMLError as error:
            yield failure(check, name, error)
    if repeated:
        reason = "the second call of a structure gives other bits than the first"
        yield holds("repeated call, bit for bit", name, repeats(evaluate, atoms), reason)


def atoms_alone(
    evaluate: Evaluate, species: Sequence[str], reach: float, allowed: Agreement
) -> tuple[Check, dict[str, str]]:
    """Return the check of isolated atoms, and their energies."""
    error = isolated_atoms(evaluate, species, reach)
    energies = isolated_energies(evaluate, species)
    text = ", ".join(f"{symbol} {energy:.6g}" for symbol, energy in energies.items())
    return compared("isolated atoms", " ".join(species), error, allowed.symmetry), {
        "energy of isolated atoms": f"{text} eV"
    }


def crystal_checks(
    evaluate: Evaluate, crystal: Crystal, allowed: Agreement
) -> tuple[list[Check], dict[str, str]]:
    """Return the checks of the elastic constants of a crystal at lowest energy, and its figures."""
    found = elastic_constants(evaluate, crystal, allowed.elastic_strain)
    constants = ", ".join(f"{constant:.1f}" for constant in found.from_stress)
    figures = {
        crystal.name: f"lattice constant {crystal.atoms.cell.lengths()[0]:.4f} Å, bulk modulus "
        f"{found.bulk:.1f} GPa, C11, C12, C44 (atoms not relaxed) {constants} GPa"
    }
    return elastic_checks(found, crystal, allowed), figures


def drift_check(
    evaluate: Evaluate, crystal: Crystal, allowed: Agreement, picoseconds: float = SIMULATED
) -> tuple[Check, dict[str, str], Curve]:
    """Return the check of the energy of a simulation that starts with a crystal, and its course."""
    edges = crystal.atoms.cell.lengths()
    atoms = crystal.atoms.repeat(tuple(np.ceil(SMALLEST_EDGE / edges).astype(int)))
    steps = round(picoseconds * 1e3 / time_step(atoms))
    energies = total_energies(evaluate, atoms, steps)
    slope = drift(energies, atoms)
    curve = Curve("constant energy", crystal.name, "time (ps)")
    for step in np.linspace(0, steps - 1, min(steps, SHOWN)).astype(int).tolist():
        curve.points[step * time_step(atoms) * 1e-3] = float(energies[step]), 0.0
    what = f"{picoseconds:g} ps, {len(atoms)} atoms, {TEMPERATURE:g} K at the start"
    check = compared("drift (meV/atom/ps)", what, abs(slope), allowed.drift)
    return check, {"drift at constant energy": f"{slope:.2e} meV/atom/ps ({what})"}, curve
