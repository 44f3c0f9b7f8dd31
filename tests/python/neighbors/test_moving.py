"""Verlet lists of one structure: complete while they are kept, and made again in time."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from torchml import DataError
from torchml.neighbors import MovingParticles, periodic_particles

CUTOFF, SKIN = 4.0, 0.6


def structure(pbc):
    rng = np.random.default_rng(4)
    cell = np.diag([3.4, 6.0, 9.0]) + rng.normal(size=(3, 3)) * 0.5  # thinner than the cutoff
    return Atoms("Si7", positions=rng.normal(size=(7, 3)) * 2.5, cell=cell, pbc=pbc)


def neighbors_of(particles, i):
    """(atom, vector) of the particles within the cutoff."""
    start, stop = particles.neighbor_offsets[i : i + 2]
    others = particles.neighbors[start:stop]
    vectors = particles.coordinates[others] - particles.coordinates[i]
    near = np.linalg.norm(vectors, axis=1) < CUTOFF
    rows = (vectors[near].round(7) + 0.0).tolist()
    return {(int(j), *row) for j, row in zip(particles.image_of[others[near]], rows, strict=True)}


def assert_complete(particles, atoms, layers):
    """All particles within layers - 1 hops have the neighbours that their atoms have."""
    fresh = periodic_particles(atoms.positions, atoms.cell, atoms.pbc, CUTOFF, CUTOFF)
    expected = [neighbors_of(fresh, i) for i in range(len(atoms))]
    assert any(expected)
    reached = set(range(particles.atoms))
    for hop in range(layers):
        for i in reached:
            assert neighbors_of(particles, i) == expected[particles.image_of[i]]
        if hop == layers - 1:
            continue
        for i in list(reached):
            start, stop = particles.neighbor_offsets[i : i + 2]
            for j in particles.neighbors[start:stop].tolist():
                if np.linalg.norm(particles.coordinates[j] - particles.coordinates[i]) < CUTOFF:
                    reached.add(j)


@pytest.mark.parametrize("pbc", [True, [True, True, False], [True, False, False], False])
@pytest.mark.parametrize("layers", [1, 2])
def test_lists_stay_complete_while_atoms_move(pbc, layers):
    rng = np.random.default_rng(1)
    atoms = structure(pbc)
    moving = MovingParticles(CUTOFF, layers * CUTOFF, SKIN)
    for _ in range(12):
        atoms.positions += rng.uniform(-0.15, 0.15, (7, 3))
        found = moving.at(atoms.positions, atoms.cell.array, atoms.pbc)
        assert_complete(found, atoms, layers)
    assert 1 < moving.renewals < 12


@pytest.mark.parametrize("layers", [1, 2])
def test_lists_stay_complete_while_the_cell_deforms(layers):
    rng = np.random.default_rng(2)
    atoms = structure(True)
    moving = MovingParticles(CUTOFF, layers * CUTOFF, SKIN)
    for _ in range(15):
        strain = rng.uniform(-0.004, 0.004, (3, 3)) - 0.012 * np.eye(3)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        found = moving.at(atoms.positions, atoms.cell.array, atoms.pbc)
        assert_complete(found, atoms, layers)
    assert 1 < moving.renewals < 15


def test_the_lists_of_a_slab_are_made_again_when_its_cell_changes():
    atoms = structure([True, True, False])
    moving = MovingParticles(CUTOFF, CUTOFF, SKIN)
    moving.at(atoms.positions, atoms.cell.array, atoms.pbc)
    cell = atoms.cell.array
    cell[2] += 1.0  # has no meaning
    moving.at(atoms.positions, cell, atoms.pbc)
    assert moving.renewals == 1
    cell[0] *= 1.0001
    moving.at(atoms.positions, cell, atoms.pbc)
    assert moving.renewals == 2


def test_positions_stay_as_they_are_given():
    """Atoms that leave the cell are not moved back, which would be a far motion."""
    atoms = structure(True)
    moving = MovingParticles(CUTOFF, CUTOFF, SKIN)
    first = moving.at(atoms.positions, atoms.cell.array, True)
    second = moving.at(atoms.positions + 0.1, atoms.cell.array, True)
    np.testing.assert_allclose(second.coordinates, first.coordinates + 0.1, atol=1e-12)
    expected = periodic_particles(atoms.positions, atoms.cell.array, True, CUTOFF, CUTOFF)
    np.testing.assert_allclose(first.coordinates[:7], expected.coordinates[:7], atol=1e-12)


def shift(atoms, vector):
    atoms.positions[3] += vector


CHANGES = {
    "one atom by more than half of the skin": lambda a: shift(a, 0.2),
    "one atom by a lattice vector": lambda a: shift(a, a.cell[0]),
    "one atom less": lambda a: a.__delitem__(0),
    "periodicity": lambda a: a.set_pbc([True, True, False]),
    "a smaller cell": lambda a: a.set_cell(0.85 * a.cell.array, scale_atoms=True),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_large_changes_make_new_lists(change):
    atoms = structure(True)
    moving = MovingParticles(CUTOFF, CUTOFF, SKIN)
    moving.at(atoms.positions, atoms.cell.array, atoms.pbc)
    moving.at(atoms.positions + 0.01, atoms.cell.array, atoms.pbc)
    assert moving.renewals == 1
    change(atoms)
    found = moving.at(atoms.positions, atoms.cell.array, atoms.pbc)
    assert moving.renewals == 2
    assert_complete(found, atoms, 1)


def test_without_a_skin_lists_are_always_new():
    atoms = structure(True)
    moving = MovingParticles(CUTOFF, CUTOFF, 0.0)
    for _ in range(3):
        moving.at(atoms.positions, atoms.cell.array, True)
    assert moving.renewals == 3


def test_numbers_that_are_not_finite_are_refused_after_lists_are_known():
    atoms = structure(True)
    moving = MovingParticles(CUTOFF, CUTOFF, SKIN)
    moving.at(atoms.positions, atoms.cell.array, True)
    with pytest.raises(DataError, match="expected finite coordinates"):
        moving.at(atoms.positions * np.nan, atoms.cell.array, True)
    with pytest.raises(DataError, match="expected finite vectors"):
        moving.at(atoms.positions, atoms.cell.array * np.inf, True)
    with pytest.raises(DataError, match="the skin is -1 Å, expected 0 or more"):
        MovingParticles(CUTOFF, CUTOFF, -1)
