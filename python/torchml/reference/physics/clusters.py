"""Curves of two and three atoms: through the cutoff, and towards zero distance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from torchml.reference.agreement import Check
from torchml.reference.physics.curves import Curve, Path, follow
from torchml.reference.physics.evaluating import Evaluate, energy_of, forces_of
from torchml.reference.structures import bond_length

# Shares of a bond: where curves begin, and the closest two atoms.
CLOSE, CLOSEST = 0.5, 0.05
BEYOND = 1.1  # end of the curves, in cutoffs
INTERVALS = 40


def dimer_curve(evaluate: Evaluate, pair: Sequence[str], cutoff: float, epsilon: float) -> Curve:
    """Follow two atoms from half a bond to beyond the cutoff.

    Args:
        evaluate: returns the evaluation of a structure.
        pair: two chemical symbols.
        cutoff: of the model, Å.
        epsilon: relative rounding error of the energy.
    """
    curve = Curve("dimer curve", "-".join(pair), "distance (Å)", marks={"cutoff": cutoff})
    start = CLOSE * bond_length(pair)
    follow(curve, _dimer(evaluate, pair), start, BEYOND * cutoff, INTERVALS, epsilon)
    return curve


def trimer_curve(evaluate: Evaluate, three: Sequence[str], cutoff: float, epsilon: float) -> Curve:
    """Follow a third atom, as far from one as from the other of a bond, to beyond the cutoff.

    Args:
        evaluate: returns the evaluation of a structure.
        three: chemical symbols; the last is that of the atom that moves.
        cutoff: of the model, Å.
        epsilon: relative rounding error of the energy.
    """
    bond = min(bond_length(three[:2]), 0.9 * cutoff)
    mark = math.sqrt(max(cutoff**2 - bond**2 / 4, 0.0))
    axis = "distance of the third atom from the bond (Å)"
    curve = Curve("trimer curve", "-".join(three), axis, marks={"cutoff": mark})

    def path(height: float) -> tuple[float, float]:
        positions = [[0, 0, 0], [bond, 0, 0], [bond / 2, height, 0]]
        found = evaluate(Atoms(list(three), positions=positions))
        return energy_of(found), -float(forces_of(found)[2, 1])

    follow(curve, path, CLOSE * bond, BEYOND * cutoff, INTERVALS, epsilon)
    return curve


def towards_zero(evaluate: Evaluate, pair: Sequence[str]) -> tuple[Curve, list[Check]]:
    """Bring two atoms together: energies and forces stay finite, and the energy rises.

    Args:
        evaluate: returns the evaluation of a structure.
        pair: two chemical symbols.

    Returns:
        The curve; a check that fails if a value is not finite, and one that warns of an energy that
        falls: atoms that come so close in a simulation fall into each other.
    """
    path, bond = _dimer(evaluate, pair), bond_length(pair)
    curve = Curve("two close atoms", "-".join(pair), "distance (Å)")
    distances = (np.geomspace(CLOSE, CLOSEST, 12) * bond).tolist()
    values = curve.points = {distance: path(distance) for distance in distances}
    name, repulsion = "finite near zero distance", "repulsive near zero distance"
    for distance, value in values.items():
        if not np.isfinite(value).all():
            return curve, [Check(name, "fail", f"not finite at {distance:.3g} Å", curve.name)]
    checks = [Check(name, "pass", f"down to {distances[-1]:.2g} Å", curve.name)]
    energies = [energy for energy, _ in values.values()]
    highest = int(np.argmax(energies))
    if highest == len(energies) - 1:
        return curve, [*checks, Check(repulsion, "pass", "", curve.name)]
    fall = energies[highest] - min(energies[highest:])
    detail = (
        f"the energy of two atoms falls by {fall:.3g} eV below {distances[highest]:.2g} Å: hot "
        "atoms fall into each other ('--add zbl' prevents it)"
    )
    return curve, [*checks, Check(repulsion, "warn", detail, curve.name)]


def pairs_of(species: Sequence[str], most: int) -> list[tuple[str, str]]:
    """Return pairs of species, at most so many, equal ones first."""
    pairs = itertools.combinations_with_replacement(species, 2)
    return sorted(pairs, key=lambda pair: pair[0] != pair[1])[:most]


def _dimer(evaluate: Evaluate, pair: Sequence[str]) -> Path:
    """Energy and slope of two atoms by their distance (Å)."""

    def path(distance: float) -> tuple[float, float]:
        found = evaluate(Atoms(list(pair), positions=[[0, 0, 0], [distance, 0, 0]]))
        return energy_of(found), -float(forces_of(found)[1, 0])

    return path
