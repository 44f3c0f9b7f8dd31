"""The ASE calculator."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.verlet import VelocityVerlet

from helpers import portable
from helpers.portable import relative
from torchml import Calculator, Potential


@pytest.fixture(params=[("sw", "graph"), ("sw", "edges"), ("schnet", "edges")], ids="-".join)
def atoms(request, example):
    """8 atoms in a strained cell, with a calculator."""
    atoms = portable.silicon()
    atoms.set_cell(atoms.cell.array @ [[1.02, 0.03, 0], [0, 0.98, 0.01], [0, 0, 1]], True)
    atoms.calc = Calculator(example(*request.param).archive)
    return atoms


def test_forces_and_stress_are_derivatives_of_the_energy(atoms):
    forces = calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 5])
    assert relative(atoms.get_forces()[[0, 5]], forces) < 1e-6
    stress = calculate_numerical_stress(atoms, eps=1e-5)
    assert relative(atoms.get_stress(), stress) < 1e-6


def test_free_energy_is_the_energy(atoms):
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


def test_energies_of_atoms_sum_to_the_energy(atoms):
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy())


def test_stresses_of_atoms_sum_to_the_stress(example):
    atoms = portable.silicon()
    atoms.calc = Calculator(example("schnet", "edges").archive)
    assert relative(atoms.get_stresses().sum(axis=0), atoms.get_stress()) < 1e-10


def test_stresses_of_atoms_need_edges(example):
    atoms = portable.silicon()
    atoms.calc = Calculator(example("schnet", "graph").archive)
    with pytest.raises(PropertyNotImplementedError, match="'edges'"):
        atoms.get_stresses()


def test_a_cluster_has_no_stress(example):
    atoms = portable.cluster()
    atoms.calc = Calculator(example("sw", "edges").archive)
    assert np.isfinite(atoms.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError, match="expected a periodic one"):
        atoms.get_stress()


def test_a_slab_has_the_stress_of_its_periodic_directions(example):
    """As ASE's cell filters need it, with a mask for the direction that is not periodic."""
    atoms = portable.silicon()
    atoms.center(vacuum=6.0, axis=2)
    atoms.pbc = [True, True, False]
    atoms.calc = Calculator(example("sw", "edges").archive)
    step = 1e-5
    energies = []
    for strain in (step, -step):
        strained = atoms.copy()
        strained.set_cell(atoms.cell @ np.diag([1 + strain, 1, 1]), scale_atoms=True)
        strained.calc = atoms.calc
        energies.append(strained.get_potential_energy())
    slope = (energies[0] - energies[1]) / (2 * step)
    assert atoms.get_stress()[0] * atoms.get_volume() == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize(
    ("pbc", "missing", "reason"),
    [
        ([True, True, False], [2], r"slab .* it has no cell vector c"),
        ([True, False, False], [1, 2], r"wire .* it has no cell vector b or c"),
        ([False, False, False], [], r"molecule or cluster .* it is not periodic"),
        ([True, False, True], "flat", r"slab .* the cell vectors lie in one plane"),
    ],
)
def test_stress_without_a_volume_is_refused_with_the_reason(pbc, missing, reason, example):
    atoms = portable.silicon()
    cell = atoms.cell.array.copy()
    if missing == "flat":
        cell[1] = cell[0] + cell[2]
    else:
        cell[missing] = 0
    atoms.set_cell(cell)
    atoms.pbc = pbc
    atoms.calc = Calculator(example("sw", "edges").archive)
    assert np.isfinite(atoms.get_forces()).all()
    for ask in (atoms.get_stress, atoms.get_stresses):
        with pytest.raises(PropertyNotImplementedError, match=reason):
            ask()


def test_a_structure_without_cell_is_fine(example):
    atoms = Atoms("Si2", positions=[[0, 0, 0], [0, 0, 2.4]])
    atoms.calc = Calculator(example("sw", "edges").archive)
    assert atoms.get_potential_energy() < 0


def test_only_what_is_asked_for_is_computed(example, monkeypatch):
    asked = []
    potential = Potential(example("sw", "edges").archive)
    evaluate = potential.evaluate

    def recording(atoms, **wanted):
        asked.append({name for name, on in wanted.items() if on})
        return evaluate(atoms, **wanted)

    monkeypatch.setattr(potential, "evaluate", recording)
    atoms = portable.silicon()
    atoms.calc = Calculator(potential)
    atoms.get_potential_energy()
    atoms.get_potential_energy()  # remembered
    atoms.get_forces()
    atoms.get_stress()
    atoms.positions[0] += 0.01
    atoms.get_forces()
    assert asked == [{"energy"}, {"energy", "forces"}, {"energy", "virial"}, {"energy", "forces"}]


def test_energy_is_conserved_in_molecular_dynamics(example):
    atoms = portable.silicon(2, amplitude=0.0)
    atoms.calc = Calculator(example("sw", "edges").archive)
    velocities = np.random.default_rng(1).normal(size=(len(atoms), 3)) * 0.04
    atoms.set_velocities(velocities - velocities.mean(axis=0))
    dynamics = VelocityVerlet(atoms, timestep=1 * units.fs)
    kinetic, total = [], []
    dynamics.attach(lambda: kinetic.append(atoms.get_kinetic_energy()))
    dynamics.attach(lambda: total.append(atoms.get_total_energy()))
    dynamics.run(30)
    assert np.ptp(total) < 5e-3 * np.ptp(kinetic)
