"""What KIM-API promises to simulators, asked for through kimpy."""

from __future__ import annotations

import threading

import kimpy
import numpy as np
import pytest
import torch
from ase.calculators.kim import KIM as AseKim

from helpers import portable
from helpers.portable import relative
from torchml import Potential
from torchml.reference.physics import derivatives
from torchml.validation.kim_client import ComputeArguments, KimModel

CASES = [("sw", "none"), ("sw", "graph"), ("sw", "edges"), ("schnet", "graph"), ("schnet", "edges")]
OUTPUTS = ("energy", "forces", "virial", "particle_energies", "particle_virials")


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def model(request, installed):
    return KimModel(installed(*request.param).name)


@pytest.fixture(scope="module", params=[("sw", "none"), ("schnet", "graph"), ("schnet", "edges")])
def few(request, installed):
    """One model of each convention, for what costs more."""
    return KimModel(installed(*request.param).name)


def cluster():
    """Twelve atoms, of which five are ghosts, mixed."""
    atoms = portable.cluster()
    flags = np.array([0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0], np.intc)
    return ["Si"] * len(atoms), atoms.positions, flags


def test_agrees_with_the_engine_in_python(installed, model):
    atoms = portable.silicon()
    expected = Potential(model.name).evaluate(atoms, virial=True, particle_energies=True)
    found = model.evaluate(atoms)
    assert found.energy == pytest.approx(expected.energy, rel=1e-12)
    assert relative(found.forces, expected.forces) < 1e-10
    assert relative(found.virial, expected.virial) < 1e-10
    assert relative(found.particle_energies, expected.particle_energies) < 1e-10


def test_stillinger_weber_is_that_of_openkim(installed):
    native = KimModel(portable.openkim_sw())
    for convention in ("none", "graph", "edges"):
        ours = KimModel(installed("sw", convention).name)
        assert ours.influence_distance == pytest.approx(native.influence_distance, rel=1e-5)
        for atoms in (portable.silicon(2), portable.silicon(), portable.cluster()):
            expected, found = native.evaluate(atoms), ours.evaluate(atoms)
            assert found.energy == pytest.approx(expected.energy, rel=1e-9)
            assert relative(found.forces, expected.forces) < 1e-8
            assert relative(found.virial, expected.virial) < 1e-8


def test_forces_and_virial_are_derivatives_of_the_energy(few):
    for atoms in (portable.silicon(), portable.cluster()):
        assert derivatives.finite_difference_forces(few.evaluate, atoms, 1e-4) < 1e-6
        assert derivatives.finite_difference_virial(few.evaluate, atoms, 1e-5) < 1e-6


def test_forces_on_ghosts_are_derivatives_too(model):
    species, x, flags = cluster()
    forces = model.compute(species, x, flags)["forces"]
    for i in (0, 1, 2, 11):
        energies = []
        for sign in (1, -1):
            moved = x.copy()
            moved[i, 1] += sign * 1e-4
            energies.append(model.compute(species, moved, flags, ["energy"])["energy"][0])
        scale = np.abs(forces).max()
        assert (energies[1] - energies[0]) / 2e-4 == pytest.approx(forces[i, 1], abs=1e-6 * scale)


def test_ase_gives_derivatives_through_kim(few):
    atoms = portable.silicon()
    atoms.calc = AseKim(few.name)
    expected = Potential(few.name).evaluate(atoms, virial=True)
    assert atoms.get_potential_energy() == pytest.approx(expected.energy, rel=1e-12)
    assert relative(atoms.get_forces(), expected.forces) < 1e-10
    assert relative(atoms.get_stress() * atoms.get_volume(), expected.virial) < 1e-10


def test_all_outputs_are_optional_and_do_not_change_each_other(model):
    species, x, flags = cluster()
    status = model.arguments.kim.get_argument_support_status
    for name in ("partialEnergy", "partialForces", "partialVirial", "partialParticleEnergy"):
        assert str(status(getattr(kimpy.compute_argument_name, name))) == "optional"
    everything = model.compute(species, x, flags, OUTPUTS)
    for output in OUTPUTS:
        alone = model.compute(species, x, flags, [output])[output]
        assert relative(alone, everything[output]) < 1e-12
    model.compute(species, x, flags, [])  # nothing wanted: nothing done, no error


def test_energy_of_ghosts_is_zero_wherever_they_stand(model):
    species, x, flags = cluster()
    found = model.compute(species, x, flags, OUTPUTS)
    assert (found["particle_energies"][flags == 0] == 0).all()
    assert found["particle_energies"].sum() == pytest.approx(found["energy"][0], rel=1e-12)
    order = np.argsort(-flags, kind="stable")
    sorted_ = model.compute(species, x[order], flags[order], OUTPUTS)
    assert sorted_["energy"][0] == pytest.approx(found["energy"][0], rel=1e-12)
    for output in ("forces", "particle_energies"):
        assert relative(sorted_[output], found[output][order]) < 1e-10


def test_virials_are_those_of_the_forces(model):
    species, x, flags = cluster()
    found = model.compute(species, x, flags, OUTPUTS)
    tensor = -found["forces"].T @ x
    assert relative(found["virial"], tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]) < 1e-8
    assert relative(found["particle_virials"].sum(axis=0), found["virial"]) < 1e-8


def test_halves_of_a_structure_add_up(model):
    species, x, _ = cluster()
    half = (x[:, 0] > np.median(x[:, 0])).astype(np.intc)
    whole, left, right = (model.compute(species, x, f, OUTPUTS) for f in (None, half, 1 - half))
    for output in OUTPUTS:
        assert relative(left[output] + right[output], whole[output]) < 1e-10


def test_lists_longer_than_the_cutoff_change_nothing(model):
    species, x, flags = cluster()
    exact = model.compute(species, x, flags, OUTPUTS)
    skinned = model.compute(species, x, flags, OUTPUTS, skin=2.0)
    for output in OUTPUTS:
        assert relative(skinned[output], exact[output]) < 1e-10


def test_no_particles_no_contributing_ones_and_lonely_ones(model):
    nothing = model.compute([], np.empty((0, 3)), [], OUTPUTS)
    assert nothing["energy"][0] == 0
    assert (nothing["virial"] == 0).all()
    species, x, flags = cluster()
    ghosts = model.compute(species, x, np.zeros_like(flags), OUTPUTS)
    assert all((ghosts[output] == 0).all() for output in OUTPUTS)
    one = model.compute(["Si"], np.zeros((1, 3)), None, OUTPUTS)
    assert one["particle_energies"][0] == one["energy"][0]
    assert (one["forces"] == 0).all()
    assert (one["virial"] == 0).all()
    three = model.compute(["Si"] * 3, [[0, 0, 0], [50, 0, 0], [0, 70, 0]], [1, 0, 1], OUTPUTS)
    assert three["energy"][0] == pytest.approx(2 * one["energy"][0], abs=1e-13)
    assert np.isfinite(one["energy"][0])


def test_the_number_of_particles_may_change_from_call_to_call(model):
    species, x, _ = cluster()
    energies = {}
    for n in (5, 12, 1, 8, 0, 12, 5):
        energy = model.compute(species[:n], x[:n])["energy"][0]
        assert energies.setdefault(n, energy) == energy


def test_repeated_calls_are_equal_bit_for_bit(model):
    species, x, flags = cluster()
    found = [KimModel(model.name).compute(species, x, flags, OUTPUTS) for _ in range(2)]
    found += [model.compute(species, x, flags, OUTPUTS) for _ in range(4)]
    for other in found[1:]:
        assert all(np.array_equal(other[output], found[0][output]) for output in OUTPUTS)


def test_edge_terms_give_the_virial_of_radial_models(installed):
    model = KimModel(installed("schnet", "edges").name)
    callback = kimpy.compute_callback_name.ProcessDEDrTerm
    status = model.arguments.kim.get_callback_support_status(callback)
    assert str(status) == "optional"
    summed = np.zeros((3, 3))

    def collect(data, dedr, r, vector, i, j):
        assert r == pytest.approx(np.linalg.norm(vector))
        summed[:] += dedr / r * np.outer(vector, vector)
        return 0

    model.arguments.kim.set_callback(callback, collect, {})
    species, x, flags = cluster()
    virial = model.compute(species, x, flags, OUTPUTS, release_gil=False)["virial"]
    assert relative(summed[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], virial) < 1e-10
    other = KimModel(installed("sw", "edges").name).arguments.kim
    assert str(other.get_callback_support_status(callback)) == "notSupported"


def test_neighbours_of_ghosts_are_asked_for_only_where_messages_pass(installed):
    assert not KimModel(installed("sw", "edges").name).wants_ghost_neighbors
    passing = KimModel(installed("schnet", "edges").name)
    assert passing.wants_ghost_neighbors
    assert passing.cutoffs.tolist() == [portable.CUTOFF]
    assert passing.influence_distance == 3 * portable.CUTOFF


def test_one_model_serves_several_threads_exactly(few):
    """Each thread with its own compute arguments, as KIM-API documents it."""
    species, x, flags = cluster()
    jobs = [(x * (1 + 0.01 * k), np.roll(flags, k)) for k in range(4)]
    expected = [few.compute(species, *job, OUTPUTS) for job in jobs]
    arguments = [ComputeArguments(few) for _ in jobs]
    start = threading.Barrier(len(jobs))
    wrong: list[str] = []

    def work(k):
        start.wait()
        for _ in range(8):
            found = arguments[k].compute(species, *jobs[k], OUTPUTS)
            wrong.extend(o for o in OUTPUTS if not np.array_equal(found[o], expected[k][o]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_two_sets_of_arguments_do_not_disturb_each_other(few):
    species, x, flags = cluster()
    other = ComputeArguments(few)
    first = few.compute(species, x, flags, OUTPUTS)
    other.compute(species[:5], x[:5])
    again = few.compute(species, x, flags, OUTPUTS)
    assert all(np.array_equal(first[output], again[output]) for output in OUTPUTS)


def test_a_simulator_that_fails_to_list_neighbours_is_survived(few):
    species, x, flags = cluster()
    other = ComputeArguments(few)
    other.compute(species, x, flags)
    refuse = lambda data, cutoffs, index, particle: (np.zeros(0, np.intc), 1)  # noqa: E731
    other.kim.set_callback(kimpy.compute_callback_name.GetNeighborList, refuse, {})
    with pytest.raises(RuntimeError):
        few.kim.compute(other.kim, False)
    assert np.isfinite(few.compute(species, x, flags)["energy"][0])


def test_single_precision_runs_too(installed):
    example = installed("schnet32", "graph")
    atoms = portable.silicon()
    expected = Potential(example.archive).evaluate(atoms)
    found = KimModel(example.name).evaluate(atoms)
    assert found.energy == pytest.approx(expected.energy, rel=1e-6)
    assert relative(found.forces, expected.forces) < 1e-4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_gives_the_same(device, few, monkeypatch):
    species, x, flags = cluster()
    expected = few.compute(species, x, flags, OUTPUTS)
    monkeypatch.setenv("KIM_MODEL_EXECUTION_DEVICE", device)
    found = KimModel(few.name).compute(species, x, flags, OUTPUTS)
    for output in OUTPUTS:
        assert relative(found[output], expected[output]) < 1e-10


def test_no_routine_is_offered_that_has_nothing_to_do(few):
    routine = kimpy.model_routine_name
    assert few.kim.get_number_of_parameters() == 0
    for name in (routine.Refresh, routine.WriteParameterizedModel):
        assert not few.kim.is_routine_present(name)[0]


def test_nothing_is_printed(few, capfd):
    species, x, flags = cluster()
    KimModel(few.name).compute(species, x, flags, OUTPUTS)
    assert capfd.readouterr() == ("", "")
