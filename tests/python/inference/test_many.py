"""Many structures in one call: the same results as one by one, whatever they share it with."""

from __future__ import annotations

import pickle
from itertools import count, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms

from helpers import portable
from torchml import Potential, StructureError
from torchml.inference.call_size import CallSize
from torchml.inference.many import ManyStructures, batches_by_edges, evaluate_many
from torchml.inference.separable import is_separable
from torchml.neighbors import moving

CASES = [("sw", "none"), ("sw", "graph"), ("schnet", "graph"), ("schnet", "edges")]
EVERYTHING = {"stress": True, "particle_energies": True}


@pytest.fixture(params=CASES, ids="-".join)
def potential(request, example):
    return Potential(example(*request.param).archive)


def structures():
    """Of all kinds: cells larger and smaller than the cutoff, a slab, a cluster, one atom, none."""
    thin = portable.silicon()[:2]
    thin.set_cell([[3.1, 0, 0], [0.4, 3.3, 0], [0, 0.2, 5.0]])
    slab = portable.silicon(seed=5)
    slab.pbc = [True, True, False]
    slab.positions += 700.0
    lone = Atoms("Si", positions=[[1.0, 2.0, 3.0]])
    kinds = [portable.silicon(), thin, slab, portable.cluster(), lone, Atoms(), portable.dense()]
    return [*kinds, *(portable.silicon(seed=seed) for seed in (7, 8))]


def one_by_one(potential, atoms_list):
    return [potential.evaluate(a, virial=True, particle_energies=True) for a in atoms_list]


def assert_same(found, expected, tolerance=1e-10):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.energy == pytest.approx(other.energy, rel=tolerance, abs=tolerance)
        for name in ("forces", "virial", "stress", "particle_energies"):
            value, right = getattr(one, name), getattr(other, name)
            assert (value is None) == (right is None), name
            if right is not None:
                assert value.shape == right.shape
                np.testing.assert_allclose(value, right, rtol=tolerance, atol=tolerance)


@pytest.fixture
def calls(monkeypatch):
    """The number of contributing particles in each call of the model."""
    counts = []
    plain = Potential.evaluate_particles

    def counting(self, species, coordinates, contributing, *lists, **requested):
        counts.append(int(np.sum(contributing)))
        return plain(self, species, coordinates, contributing, *lists, **requested)

    monkeypatch.setattr(Potential, "evaluate_particles", counting)
    return counts


def test_results_are_those_of_each_structure_alone(potential, calls):
    together = structures()
    assert is_separable(potential)
    calls.clear()
    found = evaluate_many(potential, together, **EVERYTHING, most_edges=10**9)
    assert calls == [sum(map(len, together))]
    assert_same(found, one_by_one(potential, together))


def test_results_do_not_depend_on_the_batch(potential, calls):
    together = structures()
    expected = one_by_one(potential, together)
    is_separable(potential)
    calls.clear()
    for most in (1, 500, 3000):
        assert_same(evaluate_many(potential, together, **EVERYTHING, most_edges=most), expected)
    assert calls[: len(together)] == [len(atoms) for atoms in together]
    order = np.random.default_rng(0).permutation(len(together))
    found = evaluate_many(potential, [together[k] for k in order], **EVERYTHING)
    assert_same(found, [expected[k] for k in order])


def test_single_precision_agrees_to_single_precision(example):
    for convention in ("edges", "graph"):
        potential = Potential(example("schnet32", convention).archive)
        found = evaluate_many(potential, structures(), **EVERYTHING)
        assert_same(found, one_by_one(potential, structures()), 3e-5)


def test_only_what_is_requested_comes_back(example):
    potential = Potential(example("sw", "edges").archive)
    atoms = [portable.silicon(), portable.cluster()]
    for found in (
        *evaluate_many(potential, atoms, forces=False),
        *evaluate_many(potential, atoms[:1], forces=False),
    ):
        assert found.energy is not None
        assert found.forces is found.stress is found.virial is found.particle_energies is None
    assert evaluate_many(potential, []) == []


def graph_model(path, body):
    """A model of one layer in the convention `graph`; `pair` is the energy of each atom."""
    portable.save_graph_model(
        """
        i, j = edge_index0[1], edge_index0[0]
        r = (coords.index_select(0, j) - coords.index_select(0, i)).square().sum(1).sqrt()
        smooth = (1 - r / 4.0).clamp(min=0.0).square()
        pair = torch.zeros_like(coords[:, 0]).index_add(0, i, self.scale * smooth)
    """.replace("        ", "    ").rstrip()
        + f"\n{body}",
        path,
    )
    return Potential(path, species=["Si"], cutoff=4.0, layers=1, convention="graph")


TOGETHER_OR_NOT = {
    "a total": ("    return pair[contributing == 0].sum()\n", False),
    "relative to the mean": ("    return pair - 0.1 * pair[contributing == 0].mean()\n", False),
    "one per atom": ("    return pair\n", True),
}


@pytest.mark.parametrize(("body", "separable"), TOGETHER_OR_NOT.values(), ids=TOGETHER_OR_NOT)
def test_models_that_need_a_call_for_each_structure_get_it(body, separable, tmp_path, calls):
    potential = graph_model(tmp_path / "model.pt", body)
    assert is_separable(potential) == separable
    calls.clear()
    found = evaluate_many(potential, structures(), stress=True, most_edges=10**9)
    assert len(calls) == (1 if separable else len(structures()))
    for one, atoms in zip(found, structures(), strict=True):
        expected = potential.evaluate(atoms, virial=True)
        assert one.energy == pytest.approx(expected.energy, rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(one.forces, expected.forces, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(one.virial, expected.virial, rtol=1e-10, atol=1e-12)


def test_energies_per_atom_of_a_total_are_none(tmp_path):
    potential = graph_model(tmp_path / "model.pt", TOGETHER_OR_NOT["a total"][0])
    found = evaluate_many(potential, structures()[:2], particle_energies=True)
    assert [one.particle_energies for one in found] == [None, None]


# --- Failures -------------------------------------------------------------------------------------

GREEDY = """
    beyond = int((contributing == 0).sum()) - 20
    memory = torch.empty([max(0, beyond) * 100000000000000], dtype=coords.dtype)
    return pair + memory.sum()
"""


def test_where_memory_runs_out_fewer_structures_share_a_call(tmp_path, calls):
    """The model asks for 800 TB for each atom beyond 20."""
    potential = graph_model(tmp_path / "model.pt", GREEDY)
    together = [portable.silicon(seed=seed) for seed in range(9)]
    many = ManyStructures(potential, most_edges=10**9)
    is_separable(potential)
    calls.clear()
    found = many.evaluate(together, **EVERYTHING)
    assert calls[0] == 72 and sum(atoms for atoms in calls if atoms <= 20) == 72
    calls.clear()
    many.evaluate(together)
    assert max(calls) <= 20, "what did not fit is not tried again"
    assert_same(found, one_by_one(potential, together))


def test_a_structure_that_alone_is_too_large_is_named(tmp_path):
    potential = graph_model(tmp_path / "model.pt", GREEDY)
    together = [portable.silicon(), portable.silicon(2), portable.silicon()]
    with pytest.raises(
        StructureError,
        match=r"^structure 1 \(Si64\): its 64 atoms with \d+ neighbours need more memory than "
        r"there is: .*t allocate memory",
    ) as caught:
        evaluate_many(potential, together)
    assert caught.value.index == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", ["CUDA out of memory. Tried to allocate 2 GiB", "std::bad_alloc"])
def test_the_memory_of_a_gpu_and_of_cpp_is_recognised(words, tmp_path):
    body = f"""
    if int((contributing == 0).sum()) > 20:
        raise RuntimeError("{words}")
    return pair
"""
    potential = graph_model(tmp_path / "model.pt", body)
    together = [portable.silicon(seed=seed) for seed in range(3)]
    assert_same(evaluate_many(potential, together, **EVERYTHING), one_by_one(potential, together))
    with pytest.raises(StructureError, match=r"structure 0 \(Si64\).*more memory than there is"):
        evaluate_many(potential, [portable.silicon(2)])


def test_the_memory_of_python_is_recognised(example, monkeypatch):
    potential = Potential(example("sw", "edges").archive)
    plain = Potential.evaluate_particles

    def greedy(self, species, *arrays, **requested):
        if len(species) > 400:
            raise MemoryError
        return plain(self, species, *arrays, **requested)

    expected = one_by_one(potential, structures())
    monkeypatch.setattr(Potential, "evaluate_particles", greedy)
    assert_same(evaluate_many(potential, structures(), **EVERYTHING), expected)
    with pytest.raises(StructureError, match=r"structure 0 \(Si512\).*there is not enough memory"):
        evaluate_many(potential, [portable.silicon(4)])


def broken(change):
    together = [portable.silicon(seed=seed) for seed in range(5)]
    change(together[3])
    return together


BROKEN = {
    "another element": (lambda a: a.symbols.__setitem__(0, "O"), "holds O, but the model"),
    "a position": (lambda a: a.positions.__setitem__((1, 1), np.nan), "expected finite coord"),
    "two atoms in a place": (
        lambda a: a.positions.__setitem__(1, a.positions[0]), "not finite|not all finite"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_structure_that_fails_is_named(change, message, example):
    potential = Potential(example("sw", "edges").archive)
    with pytest.raises(StructureError, match=rf"^structure 3 \(.*\): .*({message})") as caught:
        evaluate_many(potential, broken(change))
    assert caught.value.index == 3
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.index) == (str(caught.value), 3)


def test_each_structure_that_fails_has_an_error_in_its_place(example, calls):
    """Halves of a call lead to them; structures that succeeded are not evaluated again."""
    potential = Potential(example("sw", "edges").archive)
    is_separable(potential)
    together = [portable.silicon(seed=seed) for seed in range(32)]
    together[3].symbols[0] = "O"
    for k in (11, 30):
        together[k].positions[1] = together[k].positions[0]
    calls.clear()
    many = ManyStructures(potential, most_edges=10**9)
    found = many.evaluate_each(together, **EVERYTHING)
    assert len(calls) == 1 + 2 * 5 + 2 * 4, "31 and 16 structures, then halves of 16, 8, ..."
    failed = [k for k, result in enumerate(found) if isinstance(result, StructureError)]
    assert failed == [3, 11, 30] == [found[k].index for k in failed]
    good = [k for k in range(32) if k not in failed]
    assert_same([found[k] for k in good], one_by_one(potential, [together[k] for k in good]))


# --- Batches --------------------------------------------------------------------------------------


def test_batches_are_consecutive_and_as_large_as_permitted():
    sizes = [5, 5, 1, 12, 3, 0, 7, 10, 1]
    batches = list(batches_by_edges(sizes, lambda: 10))
    assert batches == [[0, 1], [2], [3], [4, 5, 6], [7], [8]]
    assert [k for batch in batches for k in batch] == list(range(len(sizes)))
    for batch, following in pairwise(batches):
        total = sum(sizes[k] for k in batch)
        assert total <= 10 or len(batch) == 1
        assert total + sizes[following[0]] > 10
    assert list(batches_by_edges([], lambda: 10)) == []


def test_sizes_are_read_as_far_as_batches_are_requested():
    read = []

    def sizes():
        for k in range(100):
            read.append(k)
            yield 4

    assert next(batches_by_edges(sizes(), lambda: 10)) == [0, 1]
    assert read == [0, 1, 2]


def test_the_limit_is_what_takes_ten_milliseconds_in_the_fastest_call(example):
    potential = Potential(example("sw", "edges").archive)
    size = CallSize(potential)
    assert size.most == 1_000
    size.took(1_000, 0.002)
    assert size.most == pytest.approx(5_000, abs=1)
    size.took(5_000, 0.0025)
    assert size.most == pytest.approx(20_000, abs=1)
    size.took(20_000, 1.0)  # disturbed
    size.took(0, 0.0)  # no edges
    assert size.most == pytest.approx(20_000, abs=1)
    assert CallSize(potential).most == size.most, "known for the same model"
    assert CallSize(Potential(example("schnet", "edges").archive)).most == 1_000
    size.lower(6_000)  # memory ran out
    assert size.most == 3_000
    size.took(1_000, 1e-6)
    assert size.most == 3_000
    fixed = CallSize(potential, 300)
    fixed.took(1_000, 1e-6)
    assert fixed.most == 300


def test_calls_grow_while_they_are_short(example, calls, monkeypatch):
    """Each call takes 1 ms here, so that ten times as many edges are permitted in the next."""
    potential = Potential(example("sw", "edges").archive)
    is_separable(potential)
    calls.clear()
    clock = SimpleNamespace(perf_counter=(0.001 * k for k in count()).__next__)
    monkeypatch.setattr("torchml.inference.many.time", clock)
    together = [portable.silicon(seed=seed) for seed in range(300)]
    found = evaluate_many(potential, together, **EVERYTHING)
    few, more, rest = calls
    assert 5 * few < more and few + more + rest == 2400
    assert_same(found, one_by_one(potential, together))


# --- Structures that move -------------------------------------------------------------------------


@pytest.fixture
def renewals(monkeypatch):
    """How many neighbour lists are made."""
    made = []
    plain = moving.periodic_particles

    def counting(*arguments):
        made.append(1)
        return plain(*arguments)

    monkeypatch.setattr(moving, "periodic_particles", counting)
    return made


def step(together, rng, length=0.02):
    for atoms in together:
        atoms.positions += rng.uniform(-length, length, atoms.positions.shape)


def test_moving_structures_keep_their_lists(potential, renewals):
    rng = np.random.default_rng(3)
    together = structures()
    many = ManyStructures(potential, skin=0.5)
    for _ in range(6):
        step(together, rng)
        found = many.evaluate(together, **EVERYTHING)
        assert_same(found, one_by_one(potential, together))
    assert len(renewals) == len(together)


def test_structures_are_known_by_their_keys(example, renewals):
    potential = Potential(example("schnet", "edges").archive)
    together = {key: portable.silicon(seed=key) for key in range(4)}
    many = ManyStructures(potential, skin=0.5)
    rng = np.random.default_rng(3)

    def evaluate(keys):
        chosen = [together[key] for key in keys]
        step(chosen, rng)
        found = many.evaluate(chosen, keys=keys, **EVERYTHING)
        assert_same(found, one_by_one(potential, chosen))
        made = len(renewals)
        renewals.clear()
        return made

    assert evaluate([0, 1, 2]) == 3
    assert evaluate([2, 0, 3]) == 1, "another order, and 3 in the place of 1"
    assert evaluate([0, 1, 2, 3]) == 1, "1 was dropped"
    together[2] = portable.silicon(amplitude=0.5, seed=9)
    assert evaluate([0, 1, 2, 3]) == 1, "another structure has the key"


def test_elements_may_change_under_a_key(example):
    potential = Potential(example("binary", "edges").archive)
    atoms = portable.silicon()
    many = ManyStructures(potential)
    many.evaluate([atoms, atoms])
    atoms.symbols[1] = "O"
    assert_same(many.evaluate([atoms, atoms], **EVERYTHING), one_by_one(potential, [atoms] * 2))


def test_cells_may_change_in_small_steps(example, renewals):
    potential = Potential(example("schnet", "edges").archive)
    together = [portable.silicon(seed=1), portable.dense()]
    many = ManyStructures(potential, skin=0.5)
    for _ in range(4):
        for atoms in together:
            atoms.set_cell(0.998 * atoms.cell.array, scale_atoms=True)
        assert_same(many.evaluate(together, **EVERYTHING), one_by_one(potential, together))
    assert len(renewals) == 2
