"""Relaxed structures are those of ASE, whatever shares their batch."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

import torchml
from helpers.relaxing import metals, silicon
from torchml import Calculator, DataError
from torchml.inference.many import ManyStructures
from torchml.relaxation import CellOptions, Files, Limits, Relaxed, RelaxOptions

SETTINGS = {"maxstep": 0.2, "memory": 100, "damping": 1.2, "alpha": 80.0}


@pytest.fixture(scope="module")
def model(example):
    return torchml.Potential(example("sw", "edges").folder)


def relaxed_by_ase(atoms: Atoms, calculator, fmax: float) -> tuple[Atoms, int]:
    atoms = atoms.copy()
    atoms.calc = calculator
    with LBFGS(atoms, logfile=None, **SETTINGS) as dynamics:
        assert dynamics.run(fmax=fmax, steps=300)
    return atoms, dynamics.nsteps


def assert_same(found: Relaxed, expected: Atoms) -> None:
    assert found.converged
    assert found.energy == pytest.approx(expected.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(found.atoms.positions, expected.positions, atol=1e-3)


def test_a_hundred_structures_of_silicon_end_at_the_minima_of_ase(model):
    structures = silicon(100)
    assert len({len(atoms) for atoms in structures}) > 10
    results = torchml.relax(structures, model, limits=Limits(atoms=300))
    calculator = Calculator(model)
    for atoms, found in zip(structures, results, strict=True):
        expected, steps = relaxed_by_ase(atoms, calculator, 0.02)
        assert_same(found, expected)
        assert found.steps == steps
        if atoms.constraints:
            fixed = atoms.constraints[0].index
            np.testing.assert_array_equal(found.atoms.positions[fixed], atoms.positions[fixed])


@pytest.mark.parametrize("optimizer", ["fire", "bfgs-linesearch"])
def test_other_optimizers_end_at_the_same_minima(model, optimizer):
    structures = [atoms for atoms in silicon(9) if atoms.pbc.any()][:4]
    results = torchml.relax(structures, model, fmax=1e-4, steps=1000, optimizer=optimizer)
    for atoms, found in zip(structures, results, strict=True):
        assert_same(found, relaxed_by_ase(atoms, Calculator(model), 1e-4)[0])


def test_a_calculator_of_ase(model):
    structures = metals(3)
    results = torchml.relax(structures, EMT(), fmax=1e-3)
    for atoms, found in zip(structures, results, strict=True):
        assert_same(found, relaxed_by_ase(atoms, EMT(), 1e-3)[0])
    assert all(atoms.calc is None for atoms in structures)


def test_results_do_not_depend_on_the_batch(model):
    structures = silicon(9)
    alone = [torchml.relax([atoms], model)[0] for atoms in structures]
    for limits in (Limits(atoms=40), Limits(edges=150), Limits()):
        for found, expected in zip(
            torchml.relax(structures, model, limits=limits), alone, strict=True
        ):
            assert found.steps == expected.steps
            np.testing.assert_allclose(found.energy, expected.energy, atol=1e-8)
            np.testing.assert_allclose(found.atoms.positions, expected.atoms.positions, atol=1e-8)


def test_batches_stay_within_their_limits(model, monkeypatch):
    sizes = []
    evaluate = ManyStructures.evaluate_each

    def counted(self, structures, **keywords):
        sizes.append([len(atoms) for atoms in structures])
        return evaluate(self, structures, **keywords)

    monkeypatch.setattr(ManyStructures, "evaluate_each", counted)
    results = torchml.relax(silicon(9), model, limits=Limits(atoms=40, structures=4))
    assert all(found.converged for found in results)
    assert max(sum(batch) for batch in sizes) <= 40
    assert max(map(len, sizes)) == 4
    # Where one structure leaves, another comes: most batches are full.
    assert np.median([len(batch) for batch in sizes]) >= 2


def test_the_energy_and_the_forces_belong_to_the_positions(model):
    (found,) = torchml.relax(silicon(2)[1:], model, steps=3, fmax=1e-5)
    assert (found.state, found.steps, len(found.energies)) == ("not converged", 3, 4)
    again = model.evaluate(found.atoms)
    assert found.energy == found.atoms.get_potential_energy() == pytest.approx(again.energy)
    forces = found.atoms.calc.results["forces"]
    np.testing.assert_allclose(forces, again.forces, atol=1e-12)
    fixed = found.atoms.constraints[0].index
    assert np.abs(forces[fixed]).max() > 1e-3
    free = np.delete(forces, fixed, axis=0)
    assert found.fmax == pytest.approx(np.linalg.norm(free, axis=1).max())


def test_a_structure_that_cannot_be_evaluated_fails_alone(model):
    structures = silicon(4)
    structures[1].positions[0] = np.nan
    found = torchml.relax(structures, model)
    assert [relaxed.state for relaxed in found] == ["converged", "failed", "converged", "converged"]
    assert found[1].reason.startswith("atom 0 is at [nan nan nan], expected finite coordinates")
    assert (found[1].steps, found[1].energies) == (0, ())
    alone = torchml.relax(structures[3:], model)[0]
    np.testing.assert_allclose(found[3].atoms.positions, alone.atoms.positions, atol=1e-8)


def test_settings_are_given_once(model):
    with pytest.raises(TypeError, match="'fmax' is given beside options"):
        torchml.relax(silicon(1), model, RelaxOptions(), fmax=0.1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'fmx'"):
        torchml.relax(silicon(1), model, fmx=0.1)


def test_structures_without_free_atoms_are_relaxed_already(model):
    atoms = silicon(1)[0]
    atoms.set_constraint(FixAtoms(range(len(atoms))))
    (found,) = torchml.relax([atoms], model)
    assert (found.state, found.steps, found.fmax) == ("converged", 0, 0.0)


@pytest.mark.parametrize(
    ("cell", "keywords"),
    [
        (CellOptions(), {}),
        (CellOptions(scalar_pressure=0.02), {"scalar_pressure": 0.02}),
        (CellOptions(isotropic=True), {"hydrostatic_strain": True}),
        (CellOptions(("xx", "yy", "xy")), {"mask": [1, 1, 0, 0, 0, 1]}),
    ],
)
def test_cells_relax_to_those_of_ase(model, cell, keywords):
    atoms = bulk("Si", "diamond", 5.3, cubic=True)
    generator = np.random.default_rng(4)
    atoms.positions += generator.normal(0, 0.05, atoms.positions.shape)
    strain = generator.normal(0, 0.03, (3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + strain + strain.T), scale_atoms=True)
    atoms.set_constraint(FixAtoms([2]))
    (found,) = torchml.relax([atoms], model, RelaxOptions(fmax=1e-4, cell=cell))
    expected = atoms.copy()
    expected.calc = Calculator(model)
    with LBFGS(FrechetCellFilter(expected, **keywords), logfile=None, **SETTINGS) as dynamics:
        assert dynamics.run(fmax=1e-4, steps=300)
    assert_same_crystal(found, expected)


def assert_same_crystal(found: Relaxed, expected: Atoms) -> None:
    """Equal up to a rotation, to which ASE's cell is free and ours is not."""
    assert found.converged
    assert found.energy == pytest.approx(expected.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(found.atoms.cell.cellpar(), expected.cell.cellpar(), atol=2e-3)
    np.testing.assert_allclose(
        found.atoms.get_all_distances(mic=True), expected.get_all_distances(mic=True), atol=1e-3
    )


def test_forces_on_the_cell_are_derivatives(model):
    from torchml.relaxation.cell import AtomsAndCell

    atoms = silicon(3)[1]
    generator = np.random.default_rng(2)
    for options in (CellOptions(scalar_pressure=0.03), CellOptions(("xx", "yz")),
                    CellOptions(isotropic=True)):  # fmt: skip
        coordinates = AtomsAndCell(atoms.copy(), options)
        direction = generator.normal(0, 1, coordinates.rows().shape)
        # A strain that the options permit.
        direction[-3:] = coordinates._allowed(direction[-3:])
        start = coordinates.rows() + 0.3 * direction

        def energy(step, start=start, direction=direction, coordinates=coordinates):
            coordinates.move(start + step * direction)
            return coordinates.energy(model.evaluate(coordinates.atoms, virial=True))

        slope = (energy(1e-4) - energy(-1e-4)) / 2e-4
        energy(0.0)
        forces = coordinates.forces(model.evaluate(coordinates.atoms, virial=True))
        assert -np.vdot(forces, direction) == pytest.approx(slope, rel=1e-5)


def test_a_cell_without_volume_cannot_relax(model):
    with pytest.raises(DataError, match="structure 'random0': stress, an energy per volume"):
        torchml.relax(silicon(1), model, cell=CellOptions())


def test_a_shared_history_depends_on_the_batch_and_ends_together(model):
    structures = silicon(4)
    options = RelaxOptions(history="shared", fmax=0.02, steps=300)
    results = torchml.relax(structures, model, options)
    assert len({found.steps for found in results}) == 1
    assert all(found.fmax <= 0.02 for found in results)
    alone = torchml.relax(structures[:1], model, options)[0]
    assert alone.steps < results[0].steps
    two = torchml.relax(structures, model, options, limits=Limits(structures=2))
    assert two[0].steps == two[1].steps and two[2].steps == two[3].steps


def test_lagging_frames_and_the_move_after_convergence(model):
    structures, files = silicon(2)[1:], Files(trajectories=1)
    (new,) = torchml.relax(structures, model, files=files)
    (old,) = torchml.relax(
        structures, model, RelaxOptions(frames="lagging", check="after_move"), files=files
    )
    assert len(new.frames) == new.steps + 1
    assert old.steps == len(old.frames) == new.steps + 1
    assert old.energies[:-1] == pytest.approx(new.energies)
    for before, after in zip(new.frames, old.frames, strict=True):
        assert after.evaluation.energy == pytest.approx(before.evaluation.energy)
    for after, before in zip(old.frames, new.frames[1:], strict=False):
        np.testing.assert_allclose(after.positions, before.positions, atol=1e-10)
    (few,) = torchml.relax(
        structures,
        model,
        RelaxOptions(frames="lagging", check="after_move"),
        files=Files(trajectories=1000),
    )
    (last,) = few.frames
    np.testing.assert_array_equal(last.positions, few.atoms.positions)
