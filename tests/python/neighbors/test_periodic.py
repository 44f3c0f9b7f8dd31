"""Periodic structures as particles: complete, in order, and quick."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from torchml import TorchMLError
from torchml.neighbors import periodic_particles

ALL_PBC = list(itertools.product([False, True], repeat=3))


def random_structure(rng, n=6):
    return Atoms(
        f"Si{n}",
        positions=rng.normal(size=(n, 3)) * 6,
        cell=rng.normal(size=(3, 3)) * 2 + np.diag([4, 5, 6]),
    )


def pairs_of(particles, rows):
    """Sorted (particle, owner of the neighbour, distance) of the first `rows` lists."""
    stop = particles.neighbor_offsets[rows]
    i = np.repeat(np.arange(rows), np.diff(particles.neighbor_offsets[: rows + 1]))
    j = particles.neighbors[:stop]
    d = np.linalg.norm(particles.coordinates[j] - particles.coordinates[i], axis=1)
    return sorted(zip(i, particles.image_of[j], d.round(9), strict=True))


@pytest.mark.parametrize("pbc", ALL_PBC)
@pytest.mark.parametrize("layers", [1, 3])
def test_lists_of_atoms_are_those_of_ase(pbc, layers):
    rng = np.random.default_rng(5)
    for _ in range(4):
        atoms = random_structure(rng)
        atoms.pbc = pbc
        particles = periodic_particles(atoms.positions, atoms.cell, pbc, 4.0, layers * 4.0)
        i, j, d = neighbor_list("ijd", atoms, 4.0)
        assert pairs_of(particles, len(atoms)) == sorted(zip(i, j, d.round(9), strict=True))


def test_ghosts_within_all_but_the_last_hop_see_what_their_atoms_see():
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    cutoff = 4.0
    particles = periodic_particles(atoms.positions, atoms.cell, True, cutoff, 3 * cutoff)
    counts = np.diff(particles.neighbor_offsets)
    reached = set(range(len(atoms)))
    for _ in range(2):  # every particle in two hops has a complete list
        for i in list(reached):
            start, stop = particles.neighbor_offsets[i : i + 2]
            reached |= set(particles.neighbors[start:stop].tolist())
        assert all(counts[i] == counts[particles.image_of[i]] for i in reached)
    assert len(reached) > 100


def test_a_cell_smaller_than_the_cutoff():
    lattice = 1.5
    particles = periodic_particles(np.zeros((1, 3)), np.eye(3) * lattice, True, 4.0, 4.0)
    n = np.arange(-4, 5)
    lengths = lattice * np.linalg.norm(np.stack(np.meshgrid(n, n, n), -1).reshape(-1, 3), axis=1)
    expected = ((lengths < 4.0) & (lengths > 0)).sum()
    assert particles.neighbor_offsets.tolist()[:2] == [0, expected]
    assert (particles.image_of == 0).all()


def test_atoms_come_first_in_their_order_moved_by_lattice_vectors_only():
    rng = np.random.default_rng(2)
    atoms = random_structure(rng, 20)
    particles = periodic_particles(atoms.positions, atoms.cell, [True, False, True], 3.0, 6.0)
    moved = np.linalg.solve(
        atoms.cell.array.T, (particles.coordinates - atoms.positions[particles.image_of]).T
    ).T
    # Along the second vector, which is not periodic, nothing moves.
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-9)
    assert np.abs(moved[:, 1]).max() < 1e-9
    assert particles.contributing.tolist() == [1] * 20 + [0] * (len(particles.image_of) - 20)
    assert particles.image_of[:20].tolist() == list(range(20))
    assert particles.atoms == 20


def test_ghosts_of_a_local_model_have_no_lists():
    atoms = bulk("Si", cubic=True)
    particles = periodic_particles(atoms.positions, atoms.cell, True, 3.0, 3.0)
    assert len(particles.coordinates) > len(atoms)
    assert (np.diff(particles.neighbor_offsets)[len(atoms) :] == 0).all()


def test_nothing_is_missing_without_periodicity():
    positions = np.array([[0, 0, 0], [0, 0, 1.0], [1e6, 0, 0]])
    for cell in (np.zeros((3, 3)), np.ones((3, 3)), np.full((3, 3), np.nan)):
        particles = periodic_particles(positions, cell, False, 2.0, 6.0)
        assert particles.neighbors.tolist() == [1, 0]
        assert particles.neighbor_offsets.tolist() == [0, 1, 2, 2]
    empty = periodic_particles(np.empty((0, 3)), np.eye(3), True, 2.0, 6.0)
    assert empty.atoms == 0
    assert empty.neighbor_offsets.tolist() == [0]


def test_a_wire_needs_only_its_own_vector():
    cell = np.zeros((3, 3))
    cell[1] = [0, 1.5, 0]
    particles = periodic_particles(np.zeros((1, 3)), cell, [False, True, False], 2.0, 2.0)
    assert np.sort(particles.coordinates[:, 1]).tolist() == [-1.5, 0, 1.5]


def test_fold_gives_the_values_of_ghosts_to_their_atoms():
    particles = periodic_particles(np.outer([0, 1], np.ones(3)), np.eye(3) * 3, True, 2.9, 2.9)
    values = np.random.default_rng(0).normal(size=(len(particles.image_of), 3))
    expected = [values[particles.image_of == atom].sum(axis=0) for atom in (0, 1)]
    np.testing.assert_allclose(particles.fold(values), expected)


def test_positions_that_are_not_finite_are_refused():
    positions = np.zeros((3, 3))
    positions[1, 2] = np.nan
    with pytest.raises(TorchMLError, match=r"atom 1 is at .*nan.*, expected finite"):
        periodic_particles(positions, np.eye(3), False, 1.0, 1.0)


@pytest.mark.parametrize(
    "cell", [np.zeros((3, 3)), [[1, 0, 0], [0, 1, 0], [1, 1, 0]], np.full((3, 3), np.inf)]
)
def test_a_periodic_cell_without_volume_is_refused(cell):
    with pytest.raises(TorchMLError, match="periodic cell"):
        periodic_particles(np.zeros((1, 3)), cell, True, 1.0, 1.0)


def test_ten_thousand_atoms_take_well_under_a_second():
    atoms = bulk("Si", cubic=True).repeat(11)
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        periodic_particles(atoms.positions, atoms.cell, True, 4.0, 4.0)
        best = min(best, time.perf_counter() - start)
    assert len(atoms) > 10_000
    assert best < 0.8
