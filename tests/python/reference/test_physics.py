"""The checks of physics: a good potential passes, one that is broken on purpose fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from torchml import Potential
from torchml.inference.evaluation import Evaluation
from torchml.reference.agreement import Check, agreement
from torchml.reference.model import periodic_edges
from torchml.reference.physics import clusters, solids
from torchml.reference.physics.dynamics import total_energies
from torchml.validation.properties import (
    atoms_alone,
    crystal_checks,
    drift_check,
    structure_checks,
)
from torchml.voigt import to_voigt

CUTOFF = 4.2
ALLOWED = agreement("float64")


@dataclass(frozen=True)
class Morse:
    """A Morse potential whose energy goes to zero at the cutoff (P. M. Morse, 1929).

    Attributes:
        shift: energy of all pairs, with which the potential ends in a step.
        kink: change of slope of each pair at 3 Å.
        hole: energy that pairs lose below 1 Å.
    """

    shift: float = 0.0
    kink: float = 0.0
    hole: float = 0.0

    def pair(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energy and its derivative."""
        x = np.exp(-1.6 * (r - 2.3))
        energy, slope = 1.2 * (x * x - 2 * x), -3.84 * (x * x - x)
        u = r / CUTOFF
        smooth, steep = (1 - u**2) ** 3, -6 * u * (1 - u**2) ** 2 / CUTOFF
        energy, slope = energy * smooth, slope * smooth + energy * steep
        energy = energy + self.shift + self.kink * np.maximum(r - 3.0, 0) * smooth
        slope = slope + self.kink * ((r > 3) * smooth + np.maximum(r - 3.0, 0) * steep)
        below = np.maximum(1.0 - r, 0.0)
        return energy - self.hole * below**3, slope + 3 * self.hole * below**2

    def __call__(self, atoms: Atoms) -> Evaluation:
        edges = periodic_edges(atoms, CUTOFF)
        r = np.linalg.norm(edges.vectors, axis=1)
        energy, slope = self.pair(r)
        gradient = 0.5 * (slope / r)[:, None] * edges.vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, edges.target, gradient)
        np.add.at(forces, edges.source, -gradient)
        virial = to_voigt(gradient.T @ edges.vectors)
        return Evaluation(energy=energy.sum() / 2, forces=forces, virial=virial)


Spoil = Callable[[Evaluation, Atoms], dict[str, object]]


def spoiled(spoil: Spoil) -> Callable[[Atoms], Evaluation]:
    """A good potential with one quantity changed."""

    def evaluate(atoms: Atoms) -> Evaluation:
        found = Morse()(atoms)
        return replace(found, **spoil(found, atoms))

    return evaluate


def chirality(atoms: Atoms) -> float:
    a, b, c = atoms.positions[1:4] - atoms.positions[0] if len(atoms) > 3 else np.zeros((3, 3))
    return 1e-3 * float(np.cross(a, b) @ c)


def forgetful() -> Callable[[Atoms], Evaluation]:
    """A model whose energy changes in the last bits from call to call."""
    calls = iter(range(10**9))
    return spoiled(lambda found, atoms: {"energy": found.energy * (1 + 1e-15 * next(calls))})


# --- The checks, in groups of what they evaluate --------------------------------------------------


def of_structure(evaluate) -> list[Check]:
    atoms = bulk("Si", "fcc", a=3.3, cubic=True)
    atoms.positions += np.random.default_rng(1).uniform(-0.1, 0.1, (4, 3))
    return list(structure_checks(evaluate, "cell", atoms, ALLOWED))


def of_atoms(evaluate) -> list[Check]:
    return [atoms_alone(evaluate, ["Si", "Ge"], CUTOFF, ALLOWED)[0]]


def of_clusters(evaluate) -> list[Check]:
    dimer = clusters.dimer_curve(evaluate, ("Si", "Si"), CUTOFF, ALLOWED.epsilon)
    trimer = clusters.trimer_curve(evaluate, ("Si", "Si", "Si"), CUTOFF, ALLOWED.epsilon)
    return [
        dimer.check(),
        trimer.check(),
        *clusters.towards_zero(evaluate, ("Si", "Si"))[1],
    ]


@cache
def crystal() -> solids.Crystal:
    (found,) = solids.lowest_crystals(Morse(), ["Si"], 1)
    return found


def of_crystal(evaluate) -> list[Check]:
    return crystal_checks(evaluate, crystal(), ALLOWED)[0]


def of_volumes(evaluate) -> list[Check]:
    return [solids.equation_of_state(evaluate, crystal(), ALLOWED.epsilon).check()]


def of_simulation(evaluate) -> list[Check]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchml.validation.properties.SMALLEST_EDGE", 1.0)  # one cell
        return [drift_check(evaluate, crystal(), ALLOWED, picoseconds=0.5)[0]]


GROUPS = [of_structure, of_atoms, of_clusters, of_crystal, of_volumes, of_simulation]


@pytest.mark.parametrize("group", GROUPS)
def test_a_good_potential_passes(group):
    checks = group(Morse())
    assert [(check.name, check.detail) for check in checks if not check.passed] == []


@pytest.mark.parametrize(
    ("group", "check", "broken"),
    [
        (of_structure, "forces = -dE/dx", spoiled(lambda e, a: {"forces": e.forces * 1.001})),
        (of_structure, "virial = dE/dstrain", spoiled(lambda e, a: {"virial": e.virial + 0.01})),
        (
            of_structure,
            "translation",
            spoiled(lambda e, a: {"energy": e.energy + 1e-3 * a.positions[:, 0].sum()}),
        ),
        (
            of_structure,
            "rotation",
            spoiled(lambda e, a: {"energy": e.energy + 1e-3 * np.ptp(a.positions[:, 0])}),
        ),
        (of_structure, "rotation", spoiled(lambda e, a: {"forces": e.forces * [1, 1, 1.001]})),
        (of_structure, "inversion", spoiled(lambda e, a: {"energy": e.energy + chirality(a)})),
        (
            of_structure,
            "permutation",
            spoiled(lambda e, a: {"energy": e.energy + 1e-3 * a.positions[0].sum()}),
        ),
        (of_structure, "replication", spoiled(lambda e, a: {"energy": e.energy + 1e-3})),
        (of_structure, "repeated call, bit for bit", forgetful()),
        (of_atoms, "isolated atoms", spoiled(lambda e, a: {"energy": 1e-3 * len(a) ** 2})),
        (of_atoms, "isolated atoms", spoiled(lambda e, a: {"energy": np.nan})),
        (of_clusters, "smooth dimer curve", Morse(shift=1e-3)),
        (of_clusters, "smooth trimer curve", Morse(shift=1e-3)),
        (of_clusters, "smooth dimer curve", Morse(kink=0.2)),
        (of_clusters, "repulsive near zero distance", Morse(hole=1e5)),
        (
            of_clusters,
            "finite near zero distance",
            spoiled(lambda e, a: {"energy": e.energy if a.positions.max() > 0.4 else np.inf}),
        ),
        (
            of_clusters,
            "smooth trimer curve",
            spoiled(lambda e, a: {"forces": e.forces * 1.1}),
        ),
        (of_volumes, "smooth equation of state", Morse(shift=1e-3)),
        (of_crystal, "bulk modulus against ASE", spoiled(lambda e, a: {"virial": e.virial * 1.1})),
        (of_crystal, "elastic constants", spoiled(lambda e, a: {"virial": e.virial * 1.1})),
        (
            of_simulation,
            "drift (meV/atom/ps)",
            # Not the derivative of any energy: atoms push their successors.
            spoiled(lambda e, a: {"forces": e.forces + 0.1 * np.roll(e.forces, 1, axis=0)}),
        ),
    ],
)
def test_a_broken_potential_fails(group, check, broken):
    (found,) = [one for one in group(broken) if one.name == check]
    assert not found.passed, found


def test_jumps_are_found_where_they_are():
    (step,) = clusters.dimer_curve(Morse(shift=1e-3), ("Si", "Si"), CUTOFF, 1e-16).jumps
    assert step.place == pytest.approx(CUTOFF, abs=1e-5)
    assert step.energy == pytest.approx(-1e-3, rel=1e-3)
    (kink,) = clusters.dimer_curve(Morse(kink=0.2), ("Si", "Si"), CUTOFF, 1e-16).jumps
    assert kink.place == pytest.approx(3.0, abs=1e-5)
    assert kink.slope == pytest.approx(0.2 * (1 - (3 / CUTOFF) ** 2) ** 3, rel=1e-2)


def test_elastic_constants_of_pairs_and_of_silicon(example):
    """Cauchy: C12 = C44 for central forces; Stillinger-Weber: H. Balamane et al., PRB 46, 2250."""
    found = solids.elastic_constants(Morse(), crystal(), 1e-3)
    _, c12, c44 = found.from_stress
    assert c12 == pytest.approx(c44, rel=1e-4)
    potential = Potential(example("sw", "edges").archive)
    evaluate = lambda atoms: potential.evaluate(atoms, virial=True)  # noqa: E731
    (silicon,) = solids.lowest_crystals(evaluate, ["Si"], 1)
    assert silicon.name == "diamond Si"
    assert silicon.atoms.cell[0, 0] == pytest.approx(5.431, abs=1e-3)
    found = solids.elastic_constants(evaluate, silicon, 1e-3)
    # Their energies are scaled by 4.63/4.3363; GPa.
    scaled = np.array([161.6, 81.6, 117.2]) * 4.3363 / 4.63
    np.testing.assert_allclose(found.from_stress, scaled, rtol=5e-3)
    assert found.is_stable and found.bulk_of_ase == pytest.approx(found.bulk, rel=1e-3)


def test_a_potential_without_a_minimum_has_a_crystal_for_its_equation_of_state():
    def flat(atoms: Atoms) -> Evaluation:
        return Evaluation(energy=0.0, forces=np.zeros((len(atoms), 3)), virial=np.zeros(6))

    (found,) = solids.lowest_crystals(flat, ["Ar"], 1)
    assert not found.is_lowest and found.name == "fcc Ar"


def test_energy_is_kept_as_the_square_of_the_time_step(monkeypatch):
    """Velocity Verlet: half the step, a quarter of the fluctuation."""
    atoms = crystal().atoms
    widths = []
    for step in (1.0, 0.5):
        monkeypatch.setattr("torchml.reference.physics.dynamics.LONGEST_STEP", step)
        widths.append(float(np.ptp(total_energies(Morse(), atoms, int(60 / step)))))
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.15)
