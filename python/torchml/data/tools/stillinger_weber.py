"""The potential of Stillinger and Weber for silicon as a calculator of ASE, in NumPy.

F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985), with epsilon = 2.1682 eV and sigma =
2.0951 Å. `torchml.models.StillingerWeber` is the same potential as a model; this one needs no
torch, and each checks the other in the tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress

A, B, P = 15.2848479197914, 0.6022245584, 4  # eV, 1, 1; the exponent of the attraction is 0
SIGMA, CUTOFF = 2.0951, 3.77118  # Å
LAMBDA, GAMMA, COSINE = 45.5322, 2.51412, -1 / 3  # eV, Å, cosine of the tetrahedral angle


class StillingerWeberCalculator(Calculator):
    """Energy, forces and, for periodic structures, stress of silicon."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = None,
        system_changes: Any = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        atoms = self.atoms
        assert atoms is not None
        centre, other, vectors = neighbor_list("ijD", atoms, CUTOFF)
        energy, gradient = energy_and_gradient(centre, vectors, len(atoms))
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, centre, gradient)
        np.add.at(forces, other, -gradient)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if atoms.pbc.all():
            virial = np.einsum("ei,ej->ij", vectors, gradient)
            stress = (virial + virial.T) / (2 * atoms.get_volume())
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)


def energy_and_gradient(centre: Any, vectors: Any, atoms: int) -> tuple[float, Any]:
    """Return the energy, and its derivative by the vector of each edge.

    With g = exp(gamma / (r - a)) and unit vectors u of the edges of an atom, the sum over all pairs
    of edges, g g' (u . u' - c)^2, is the square of sum g u u^T, less 2 c that of sum g u, plus c^2
    that of sum g; half of it, without the pairs of an edge with itself, is the three-body term.

    Args:
        centre: i64[edges], the atom at which an edge begins; both directions are edges.
        vectors: float[edges, 3], Å.
        atoms: number of them.

    Returns:
        eV, and eV/Å as float[edges, 3].
    """
    distance = np.linalg.norm(vectors, axis=1)
    inside = distance < CUTOFF - 1e-3  # beyond, exp(-sigma / gap) is 0 in double precision
    centre, vectors, distance = centre[inside], vectors[inside], distance[inside]
    unit = vectors / distance[:, None]
    gap = distance - CUTOFF

    repulsion = B * (SIGMA / distance) ** P
    decay = np.exp(SIGMA / gap)
    pair = A * (repulsion - 1) * decay
    pair_slope = -A * P * repulsion / distance * decay - pair * SIGMA / gap**2

    g = np.exp(GAMMA / gap)
    g_slope = -g * GAMMA / gap**2
    zero = np.bincount(centre, g, minlength=atoms)
    one, two = np.zeros((atoms, 3)), np.zeros((atoms, 3, 3))
    np.add.at(one, centre, g[:, None] * unit)
    np.add.at(two, centre, g[:, None, None] * unit[:, :, None] * unit[:, None, :])
    itself = (1 - COSINE) ** 2
    squares = (two**2).sum() - 2 * COSINE * (one**2).sum() + COSINE**2 * (zero**2).sum()
    energy = pair.sum() / 2 + LAMBDA / 2 * (squares - itself * (g**2).sum())

    along = np.einsum("eij,ej->ei", two[centre], unit) - COSINE * one[centre]
    by_g = (along - COSINE * one[centre]) * unit
    by_g = LAMBDA * (by_g.sum(axis=1) + COSINE**2 * zero[centre] - itself * g)
    by_unit = 2 * LAMBDA * g[:, None] * along
    across = by_unit - (by_unit * unit).sum(axis=1, keepdims=True) * unit
    gradient = np.zeros((len(inside), 3))
    slope = pair_slope / 2 + by_g * g_slope
    gradient[inside] = slope[:, None] * unit + across / distance[:, None]
    return float(energy), gradient
