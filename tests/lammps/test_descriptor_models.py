"""Models of every kind of descriptor in LAMMPS and in the engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.kim import KIM

from helpers.descriptor_models import KINDS, MIXTURES, Model, structure, write_model
from helpers.portable import relative
from torchml import Calculator, Potential, kim
from torchml.validation.lammps import evaluate_with_lammps

MODELS = [(kind, mixture) for kind in KINDS for mixture in MIXTURES]
ALL = pytest.mark.parametrize(("kind", "mixture"), MODELS, ids=map("-".join, MODELS))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Model]:
    """written(kind, mixture): a folder that is not installed."""
    return cache(lambda *case: write_model(*case, tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def installed(
    written: Callable[[str, str], Model], collection: Path
) -> Callable[[str, str], Model]:
    """installed(kind, mixture): the same, in the private collection."""

    @cache
    def install(*case: str) -> Model:
        kim.install(written(*case).folder, "environment")
        return written(*case)

    return install


@ALL
def test_one_and_two_ranks_give_the_energies_of_the_network(kind, mixture, installed):
    model, atoms = installed(kind, mixture), structure(mixture)
    energies = model.energies(atoms)
    expected = Potential(model.folder).evaluate(atoms, virial=True, particle_virials=True)
    assert expected.energy == pytest.approx(energies.sum(), rel=1e-11)
    for ranks in (1, 2):
        (found,) = evaluate_with_lammps(
            model.name,
            [atoms],
            model.parameters.species,
            ranks=ranks,
            particle_energies=True,
            particle_virials=True,
        )
        assert found.energy == pytest.approx(energies.sum(), rel=1e-11)
        assert relative(found.particle_energies, energies) < 1e-11
        assert relative(found.forces, expected.forces) < 1e-10
        assert relative(found.virial, expected.virial) < 1e-8
        assert relative(found.particle_virials, expected.particle_virials) < 1e-8
        assert relative(found.particle_virials.sum(axis=0), found.virial) < 1e-8


@ALL
def test_forces_and_virial_are_slopes_of_the_energy(kind, mixture, written):
    atoms = structure(mixture, seed=5)
    model = Potential(written(kind, mixture).folder)
    found = model.evaluate(atoms, virial=True, particle_virials=True)

    def energy(changed: Atoms) -> float:
        return model.evaluate(changed, forces=False).energy

    def slope(change: Callable[[float], Atoms], step: float = 1e-4) -> float:
        return (energy(change(step)) - energy(change(-step))) / (2 * step)

    for atom, axis in ((0, 0), (7, 1), (15, 2)):

        def moved(step: float, place: tuple[int, int] = (atom, axis)) -> Atoms:
            copy = atoms.copy()
            copy.positions[place] += step
            return copy

        assert found.forces[atom, axis] == pytest.approx(
            -slope(moved), abs=1e-6 * np.abs(found.forces).max()
        )
    for component, (a, b) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):

        def strained(step: float, a: int = a, b: int = b) -> Atoms:
            strain = np.eye(3)
            strain[a, b] += 0.5 * step
            strain[b, a] += 0.5 * step
            copy = atoms.copy()
            copy.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            return copy

        assert found.virial[component] == pytest.approx(
            slope(strained, 3e-5), abs=2e-6 * np.abs(found.virial).max()
        )
    assert relative(found.particle_virials.sum(axis=0), found.virial) < 1e-12


@ALL
def test_contributing_particles_may_come_in_any_order(kind, mixture, written):
    model, atoms = Potential(written(kind, mixture).folder), structure(mixture)
    particles = model.particles(atoms)
    codes = model.codes(atoms)[particles.image_of]
    count = len(codes)
    order = np.random.default_rng(4).permutation(count)  # the place of each new particle before
    place = np.argsort(order)
    lists = [
        place[particles.neighbors[slice(*particles.neighbor_offsets[old : old + 2])]]
        for old in order
    ]
    wanted = {"virial": True, "particle_energies": True, "particle_virials": True}
    plain = model.evaluate_particles(
        codes,
        particles.coordinates,
        particles.contributing,
        particles.neighbor_offsets,
        particles.neighbors,
        **wanted,
    )
    mixed = model.evaluate_particles(
        codes[order],
        particles.coordinates[order],
        particles.contributing[order],
        np.cumsum([0, *map(len, lists)]),
        np.concatenate(lists),
        **wanted,
    )
    assert (np.diff(particles.contributing[order]) != 0).sum() > 5
    assert mixed["energy"] == pytest.approx(plain["energy"], rel=1e-12)
    assert relative(mixed["virial"], plain["virial"]) < 1e-12
    for key in ("forces", "particle_energies", "particle_virials"):
        assert relative(mixed[key], plain[key][order]) < 1e-11


def test_ase_runs_it_through_kim_as_in_python(installed):
    model, atoms = installed("SymmetryFunctions", "SiC"), structure("SiC", seed=6)
    results = []
    for calculator in (KIM(model.name), Calculator(model.folder)):
        atoms.calc = calculator
        results.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))
    for one, other in zip(*results, strict=True):
        assert relative(one, other) < 1e-10


def test_a_rank_without_atoms_and_an_isolated_atom(installed):
    model, atoms = installed("Bispectrum", "Si"), structure("Si")
    atoms.set_cell([5.431 * 6, 5.431, 5.431])
    alone = Atoms("Si", cell=[30.0] * 3, pbc=True)
    one, two = (
        evaluate_with_lammps(model.name, [atoms, alone], ["Si"], ranks=ranks) for ranks in (1, 2)
    )
    for a, b, expected in zip(one, two, (atoms, alone), strict=True):
        assert a.energy == pytest.approx(model.energies(expected).sum(), rel=1e-11)
        assert b.energy == pytest.approx(a.energy, rel=1e-12)
