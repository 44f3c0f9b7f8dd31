"""The optimisers beside those of ASE, and beside formulas."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.optimize import FIRE, LBFGS

from helpers.relaxing import metals
from torchml import relax
from torchml.errors import DataError
from torchml.relaxation import RelaxOptions
from torchml.relaxation.lbfgs import LBFGS as OurLBFGS
from torchml.relaxation.optimizer import longest_row
from torchml.relaxation.selection import new_optimizer


def positions_of_ase(atoms: Atoms, steps: int, optimizer, **keywords) -> list[np.ndarray]:
    atoms = atoms.copy()
    atoms.calc = EMT()
    path = [atoms.get_positions()]
    with optimizer(atoms, logfile=None, **keywords) as dynamics:
        dynamics.attach(lambda: path.append(atoms.get_positions()))
        dynamics.run(fmax=0, steps=steps)
    return path[1:]  # the first is noted twice


def our_positions(atoms: Atoms, steps: int, options: RelaxOptions) -> list[np.ndarray]:
    atoms = atoms.copy()
    free = np.ones(len(atoms), dtype=bool)
    free[atoms.constraints[0].index] = False
    atoms.constraints = []
    atoms.calc = EMT()
    optimizer = new_optimizer(options, [int(free.sum())])
    path = [atoms.get_positions()]
    for _ in range(steps):
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()[free]
        atoms.positions[free] = optimizer.step(atoms.positions[free], energy, forces)
        path.append(atoms.get_positions())
    return path


def test_lbfgs_takes_the_steps_of_ase():
    """Beyond its memory, and with a scaled and damped first step."""
    atoms = metals(2)[1]
    settings = {"maxstep": 0.03, "memory": 5, "damping": 1.2, "alpha": 40.0}
    expected = positions_of_ase(atoms, 15, LBFGS, **settings)
    found = our_positions(atoms, 15, RelaxOptions(**settings))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    first = found[1] - found[0]
    assert longest_row(first) == pytest.approx(0.03 * 1.2)


def test_fire_takes_the_steps_of_ase():
    atoms = metals(2)[1]
    expected = positions_of_ase(atoms, 40, FIRE, maxstep=0.05)
    found = our_positions(atoms, 40, RelaxOptions(optimizer="fire", maxstep=0.05))
    np.testing.assert_allclose(found, expected, atol=1e-10)


def two_loops(pairs, forces, alpha):
    """Nocedal's recursion, as the textbook has it."""
    q, factors = -forces.copy(), []
    for s, y in reversed(pairs):
        factors.append((s @ q) / (y @ s))
        q -= factors[-1] * y
    z = q / alpha
    for (s, y), a in zip(pairs, reversed(factors), strict=True):
        z += s * (a - (y @ z) / (y @ s))
    return -z


def test_lbfgs_is_the_two_loop_recursion():
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(12, 12))
    hessian = matrix @ matrix.T + np.eye(12)
    optimizer = OurLBFGS([4], maxstep=1e9, memory=4, damping=1.0, alpha=30.0)
    positions, pairs, last = generator.normal(size=(4, 3)), [], None
    for _ in range(9):
        forces = -(hessian @ positions.ravel()).reshape(4, 3)
        if last is not None:
            pairs.append(((positions - last[0]).ravel(), (last[1] - forces).ravel()))
        expected = two_loops(pairs[-4:], forces.ravel(), 30.0)
        moved = optimizer.step(positions, 0.0, forces)
        np.testing.assert_allclose((moved - positions).ravel(), expected, rtol=1e-6, atol=1e-9)
        last, positions = (positions, forces), moved


def test_a_shared_history_limits_each_structure():
    optimizer = OurLBFGS([1, 2], maxstep=0.1, memory=3, damping=1.0, alpha=1.0)
    forces = np.array([[0.05, 0, 0], [3.0, 4.0, 0], [0, 0, 1.0]])
    move = optimizer.step(np.zeros((3, 3)), 0.0, forces)
    np.testing.assert_allclose(move[0], forces[0])
    np.testing.assert_allclose(move[1:], forces[1:] * 0.1 / 5)


def test_line_search_lowers_a_function_with_curved_valley():
    """Rosenbrock's function, whose minimum is (1, 1), in two of three coordinates."""

    def value(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2 + x[2] ** 2

    def slope(x):
        inner = x[1] - x[0] ** 2
        return np.array([-400 * x[0] * inner - 2 * (1 - x[0]), 200 * inner, 2 * x[2]])

    optimizer = new_optimizer(RelaxOptions(optimizer="bfgs-linesearch", maxstep=0.3), [1])
    x, values, evaluations = np.array([[-1.2, 1.0, 0.7]]), [], 0
    while longest_row(slope(x[0])[None]) > 1e-8 and evaluations < 400:
        evaluations += 1
        energy, forces = value(x[0]), -slope(x[0])[None]
        trial = optimizer.retry(x, energy, forces)
        if trial is None:
            values.append(energy)
            trial = optimizer.step(x, energy, forces)
        x = trial
    np.testing.assert_allclose(x, [[1, 1, 0]], atol=1e-7)
    assert np.diff(values).max() <= 1e-7 * values[0]
    assert evaluations < 150


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"optimizer": "adam"}, "optimizer is 'adam', expected one of lbfgs, fire"),
        ({"fmax": float("nan")}, "fmax is nan, expected a finite number of 0 or more"),
        ({"maxstep": 0}, "maxstep is 0, expected a finite number above 0"),
        ({"memory": 0}, "memory is 0, expected 1 or more"),
        ({"history": "shared", "optimizer": "fire"}, "expected the optimizer lbfgs"),
    ],
)
def test_options_that_are_not_possible(settings, sentence):
    with pytest.raises(DataError, match=sentence):
        RelaxOptions(**settings)


@pytest.mark.parametrize(
    ("optimizer", "name", "owners"),
    [
        ("fire", "memory", "lbfgs"),
        ("fire", "damping", "lbfgs"),
        ("fire", "alpha", "lbfgs or bfgs-linesearch"),
        ("bfgs-linesearch", "damping", "lbfgs"),
    ],
)
def test_options_of_other_optimizers_are_refused(optimizer, name, owners):
    sentence = f"{name} was given, which {optimizer} does not have, expected it with {owners}"
    with pytest.raises(DataError, match=f"^{sentence}$"):
        RelaxOptions.of_version("2024", optimizer=optimizer, **{name: 1})
    with pytest.raises(DataError, match=f"^{sentence}$"):
        relax([Atoms("Si")], "no.pt", optimizer=optimizer, **{name: 1})


def test_other_optimizers_take_what_they_have_of_a_version():
    fire = RelaxOptions.of_version("2021", optimizer="fire")
    assert (fire.optimizer, fire.history) == ("fire", "per_system")
    assert (fire.maxstep, fire.steps) == (0.04, 200)
    assert RelaxOptions.of_version("2021", optimizer="bfgs-linesearch").curvature == 70.0


def test_versions_of_ocp():
    assert RelaxOptions.of_version("2024") == RelaxOptions()
    early = RelaxOptions.of_version("2021", memory=7)
    assert (early.maxstep, early.damping, early.curvature) == (0.04, 1.0, 70.0)
    assert (early.fmax, early.steps, early.memory) == (0.0, 200, 7)
    assert (early.history, early.frames, early.check) == ("shared", "lagging", "after_move")
    late = RelaxOptions.of_version("fairchem-1.10")
    assert (late.maxstep, late.damping, late.curvature, late.memory) == (0.02, 1.2, 100.0, 100)
    with pytest.raises(DataError, match="the version is '2020', expected one of 2021, 2024, fair"):
        RelaxOptions.of_version("2020")
