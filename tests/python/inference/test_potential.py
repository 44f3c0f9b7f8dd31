"""Potential: the engine from Python gives the physics of the model, and only what is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

from helpers import portable
from helpers.portable import relative
from torchml import Calculator, DataError, Potential, TorchMLError
from torchml.contract import metadata
from torchml.reference.model import ReferenceModel
from torchml.reference.physics import derivatives

CASES = [
    ("sw", "none"),
    ("sw", "graph"),
    ("sw", "edges"),
    ("schnet", "graph"),
    ("schnet", "edges"),
    ("binary", "edges"),
]


@pytest.fixture(params=CASES, ids="-".join)
def model(request, example):
    return example(*request.param)


def structures():
    small = portable.silicon()
    thin = small[:2].copy()  # 2 atoms in a cell thinner than the cutoff
    thin.set_cell([[3.1, 0, 0], [0.4, 3.3, 0], [0, 0.2, 5.0]])
    slab = small.copy()
    slab.pbc = [True, True, False]
    return {"8 atoms": small, "thin": thin, "slab": slab, "cluster": portable.cluster()}


PARITY = {**structures(), "dense": portable.dense()}


def everything(potential, atoms):
    return potential.evaluate(atoms, virial=True, particle_energies=True, particle_virials=True)


@pytest.mark.parametrize("name", PARITY)
def test_agrees_with_the_model_in_python_on_minimum_image_edges(model, name):
    atoms = PARITY[name]
    potential = Potential(model.archive)
    found, expected = (
        potential.evaluate(atoms, virial=True),
        ReferenceModel(model.archive, potential.spec).evaluate(atoms),
    )
    assert found.energy == pytest.approx(expected.energy, rel=1e-12)
    assert relative(found.forces, expected.forces) < 1e-10
    assert relative(found.virial, expected.virial) < 1e-10


@pytest.mark.parametrize("name", PARITY)
def test_images_that_are_known_change_no_result(model, name):
    """As in a simulator, which states no images: all ghosts are computed."""
    atoms = PARITY[name]
    potential = Potential(model.archive)
    particles = potential.particles(atoms)
    separate = potential.evaluate_particles(
        potential.codes(atoms)[particles.image_of],
        particles.coordinates,
        particles.contributing,
        particles.neighbor_offsets,
        particles.neighbors,
        virial=True,
        particle_energies=True,
        particle_virials=True,
    )
    found = everything(potential, atoms)
    assert found.energy == pytest.approx(separate["energy"], rel=1e-12)
    assert relative(found.virial, separate["virial"]) < 1e-10
    for quantity in ("forces", "particle_energies", "particle_virials"):
        expected = particles.fold(separate[quantity])
        assert relative(getattr(found, quantity), expected) < 1e-10


def test_a_wrong_image_is_refused(example):
    potential = Potential(example("binary", "edges").archive)
    positions = np.array([[0, 0, 0], [2.0, 0, 0], [0, 2.0, 0]])
    lists = [0, 2, 2, 2], [1, 2]
    species, contributing = [0, 1, 0], [1, 1, 0]
    potential.evaluate_particles(species, positions, contributing, *lists, image_of=[0, 1, 0])
    for owner in (1, 2, 3, -1):  # of another element, a ghost, and not there
        with pytest.raises(TorchMLError, match=f"2 is given as an image of particle {owner}, exp"):
            potential.evaluate_particles(
                species, positions, contributing, *lists, image_of=[0, 1, owner]
            )


def test_conventions_of_a_model_give_the_same_results(example):
    for kind, conventions in (("sw", ("none", "graph", "edges")), ("schnet", ("graph", "edges"))):
        found = [
            Potential(example(kind, convention).archive).evaluate(portable.silicon())
            for convention in conventions
        ]
        for other in found[1:]:
            assert other.energy == pytest.approx(found[0].energy, rel=1e-12)
            assert relative(other.forces, found[0].forces) < 1e-10


def test_single_precision_agrees_to_single_precision(example):
    atoms = portable.silicon()
    potential = Potential(example("schnet32", "edges").archive)
    assert potential.spec.dtype == "float32"
    expected = ReferenceModel(example("schnet32", "edges").archive, potential.spec).evaluate(atoms)
    found = potential.evaluate(atoms)
    assert found.energy == pytest.approx(expected.energy, rel=1e-6)
    assert relative(found.forces, expected.forces) < 1e-4


def test_forces_and_virial_are_derivatives_of_the_energy(model):
    potential = Potential(model.archive)

    def evaluate(atoms):
        return potential.evaluate(atoms, virial=True)

    for atoms in structures().values():
        assert derivatives.finite_difference_forces(evaluate, atoms, 1e-4) < 1e-6
        assert derivatives.finite_difference_virial(evaluate, atoms, 1e-5) < 1e-6


def test_parts_sum_to_the_whole(model):
    for atoms in structures().values():
        found = everything(Potential(model.archive), atoms)
        assert found.particle_energies.shape == (len(atoms),)
        assert found.particle_energies.sum() == pytest.approx(found.energy, rel=1e-12)
        assert relative(found.particle_virials.sum(axis=0), found.virial) < 1e-10
        assert np.abs(found.forces.sum(axis=0)).max() < 1e-10


def test_ghosts_may_come_in_any_order(model):
    atoms = portable.silicon()
    potential = Potential(model.archive)
    particles = potential.particles(atoms)
    codes = potential.codes(atoms)[particles.image_of]
    n = len(codes)
    order = np.random.default_rng(0).permutation(n)
    where = np.argsort(order)
    lists = np.split(particles.neighbors, particles.neighbor_offsets[1:-1])
    shuffled = [where[lists[i]] for i in order]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in shuffled])])
    wanted = dict(virial=True, particle_energies=True, particle_virials=True)
    straight = potential.evaluate_particles(
        codes,
        particles.coordinates,
        particles.contributing,
        particles.neighbor_offsets,
        particles.neighbors,
        **wanted,
    )
    mixed = potential.evaluate_particles(
        codes[order],
        particles.coordinates[order],
        particles.contributing[order],
        offsets,
        np.concatenate(shuffled),
        **wanted,
    )
    assert mixed["energy"] == pytest.approx(straight["energy"], rel=1e-12)
    assert relative(mixed["virial"], straight["virial"]) < 1e-10
    assert relative(mixed["forces"], straight["forces"][order]) < 1e-10
    assert relative(mixed["particle_energies"], straight["particle_energies"][order]) < 1e-10
    assert (mixed["particle_energies"][particles.contributing[order] == 0] == 0).all()


def test_only_what_is_asked_for_comes_back(model):
    potential = Potential(model.archive)
    found = potential.evaluate(portable.silicon(), forces=False)
    assert found.energy is not None
    assert found.forces is found.virial is found.particle_energies is found.particle_virials is None
    assert potential.evaluate(portable.silicon(), energy=False).energy is None


def test_repeated_calls_are_equal_bit_for_bit(model):
    potential = Potential(model.archive)
    found = [everything(potential, portable.silicon()) for _ in range(5)]
    fresh = everything(Potential(model.archive), portable.silicon())
    for other in [*found[1:], fresh]:
        for quantity in ("energy", "forces", "virial", "particle_energies", "particle_virials"):
            assert np.array_equal(getattr(other, quantity), getattr(found[0], quantity))


def test_nothing_one_atom_and_atoms_out_of_reach(model):
    potential = Potential(model.archive)
    none = everything(potential, Atoms())
    assert none.energy == 0
    assert none.forces.shape == (0, 3)
    one = everything(potential, Atoms("Si"))
    assert np.isfinite(one.energy)
    assert np.array_equal(one.forces, np.zeros((1, 3)))
    assert np.array_equal(one.virial, np.zeros(6))
    far = everything(potential, Atoms("Si3", positions=[[0, 0, 0], [50, 0, 0], [0, 1e6, 0]]))
    assert far.energy == pytest.approx(3 * one.energy, abs=1e-12)
    beside = portable.cluster()
    alone = everything(potential, beside)
    both = everything(potential, beside + Atoms("Si", positions=[[99, 0, 0]]))
    assert both.energy == pytest.approx(alone.energy + one.energy, rel=1e-12)
    assert relative(both.forces[:-1], alone.forces) < 1e-12


def test_the_folder_of_a_portable_model_is_a_model_too(model):
    atoms = portable.silicon()
    assert Potential(model.folder).evaluate(atoms).energy == pytest.approx(
        Potential(model.archive).evaluate(atoms).energy, rel=1e-14
    )


def test_an_installed_model_is_found_by_name(installed):
    found = installed("sw", "edges")
    atoms = portable.silicon()
    assert Potential(found.name).evaluate(atoms).energy == pytest.approx(
        Potential(found.archive).evaluate(atoms).energy, rel=1e-14
    )


def test_elements_are_told_apart(example):
    potential = Potential(example("binary", "edges").archive)
    atoms = portable.silicon()
    before = potential.evaluate(atoms).energy
    atoms.symbols[2] = "O"
    assert abs(potential.evaluate(atoms).energy - before) > 1e-6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same(model):
    atoms = portable.silicon()
    expected = everything(Potential(model.archive), atoms)
    potential = Potential(model.archive, device="cuda")
    found = everything(potential, atoms)
    assert potential.device.startswith("cuda")
    assert found.energy == pytest.approx(expected.energy, rel=1e-12)
    assert relative(found.forces, expected.forces) < 1e-10
    assert relative(found.virial, expected.virial) < 1e-10


def test_an_unknown_element_is_named(example):
    potential = Potential(example("sw", "edges").archive)
    with pytest.raises(TorchMLError, match=r"holds C O, but the model '.*' knows only Si"):
        potential.evaluate(Atoms("CSiO", positions=np.eye(3)))


def test_positions_that_are_not_finite_are_refused(example):
    atoms = portable.silicon()
    atoms.positions[3, 1] = np.inf
    with pytest.raises(TorchMLError, match="finite"):
        Potential(example("sw", "edges").archive).evaluate(atoms)


@pytest.mark.parametrize("missing", ["nowhere/model.pt", "Nothing__MO_000000000000_000"])
def test_a_model_that_is_not_there_is_named(missing):
    with pytest.raises(TorchMLError, match=missing):
        Potential(missing)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(TorchMLError, match=rf"{tmp_path}: the model has no parameter file"):
        Potential(tmp_path)


def test_keywords_that_contradict_the_archive_are_refused(example):
    with pytest.raises(TorchMLError, match=r"cutoff.*5\.5"):
        Potential(example("sw", "edges").archive, cutoff="5.5")


# --- Stress, and metadata by keyword --------------------------------------------------------------


def test_stress_is_the_virial_per_volume(example):
    atoms = portable.silicon()
    potential = Potential(example("sw", "edges").archive)
    evaluation = potential.evaluate(atoms, stress=True)
    assert np.array_equal(evaluation.stress, evaluation.virial / atoms.get_volume())
    assert potential.evaluate(atoms).stress is None


def test_a_compressed_crystal_has_negative_stress(example):
    """The sign of dE/dstrain, which is that of ASE."""
    atoms = portable.silicon()
    atoms.set_cell(0.97 * atoms.cell.array, scale_atoms=True)
    stress = Potential(example("sw", "edges").archive).evaluate(atoms, stress=True).stress
    assert (stress[:3] < 0).all()


def test_a_cluster_has_a_virial_and_no_stress(example):
    potential = Potential(example("sw", "edges").archive)
    evaluation = potential.evaluate(portable.cluster(), virial=True)
    assert evaluation.virial is not None and evaluation.stress is None
    with pytest.raises(DataError, match="expected a periodic one whose cell has a volume"):
        potential.evaluate(portable.cluster(), stress=True)


@pytest.fixture
def bare(example, tmp_path):
    """The archive of a model, its metadata, and the same archive without them."""
    archive = example("schnet", "graph").archive
    with metadata.quiet_torchscript():
        torch.jit.load(archive).save(str(tmp_path / "bare.pt"))
    return archive, metadata.read(archive), tmp_path / "bare.pt"


@pytest.mark.parametrize("edges", ["stage_edges", "edges"])
def test_keywords_replace_the_metadata_of_an_archive(bare, edges):
    archive, facts, path = bare
    keywords = {
        "species": list(facts.species),
        "cutoff": facts.cutoff,
        "layers": facts.layers,
        "convention": "graph",
        edges: "directed",
    }
    atoms = portable.silicon()
    expected = Potential(archive).evaluate(atoms)
    assert np.array_equal(Potential(path, **keywords).evaluate(atoms).forces, expected.forces)
    atoms.calc = Calculator(path, **keywords)
    assert np.array_equal(atoms.get_forces(), expected.forces)
    assert atoms.calc.potential.spec.layers == facts.layers


def test_a_keyword_that_is_missing_is_named(bare):
    _, _, path = bare
    with pytest.raises(TorchMLError, match="'species'"):
        Calculator(path, cutoff=4.0, convention="graph", layers=3)


@pytest.mark.parametrize("kind", [Potential, Calculator])
def test_unknown_keywords_are_refused(kind, bare):
    archive, _, _ = bare
    with pytest.raises(TypeError, match="unknown keyword 'cutof', expected one of convention"):
        kind(archive, cutof=4.0)


def test_a_keyword_must_agree_with_the_metadata(bare):
    archive, facts, _ = bare
    with pytest.raises(TorchMLError, match="'cutoff'"):
        Calculator(archive, cutoff=facts.cutoff + 1)


def test_keywords_belong_to_the_potential(bare):
    archive, _, _ = bare
    with pytest.raises(TypeError, match="'cutoff' is given beside a Potential"):
        Calculator(Potential(archive), cutoff=4.0)
