"""Metrics of data sets against formulas written out in numpy, one structure and atom at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from helpers.evaluated import labelled_pairs
from torchml.data.configuration import Configuration
from torchml.errors import DataError
from torchml.evaluation import Summary, evaluate
from torchml.evaluation.evaluating import check_labels
from torchml.inference.evaluation import Evaluation

Pairs = list[tuple[Configuration, Evaluation]]


def reference(
    pairs: Pairs,
    free_only: bool = True,
    wanted: Callable[[Configuration], bool] = lambda c: True,
    element: int | None = None,
) -> dict[str, float]:
    """All metrics of s2ef."""
    energy, per_atom, ewt, efwt, stress, differences, cosine, magnitude = ([] for _ in range(8))
    for c, p in pairs:
        if not wanted(c):
            continue
        right = None
        if c.energy is not None:
            right = abs(p.energy - c.energy) < 0.02
            energy.append(p.energy - c.energy)
            per_atom.append((p.energy - c.energy) / len(c.numbers))
            ewt.append(right)
        near = []
        for atom in range(len(c.numbers)):
            if c.forces is None or c.weights.forces == 0:
                continue
            if free_only and c.fixed is not None and c.fixed[atom]:
                continue
            f, g = p.forces[atom], c.forces[atom]
            near.append(max(abs(f - g)) < 0.03)
            if element in (None, c.numbers[atom]):
                differences.append(f - g)
                cosine.append(f @ g / np.sqrt((f @ f) * (g @ g)))
                magnitude.append(abs(np.sqrt(f @ f) - np.sqrt(g @ g)))
        if right is not None and near:
            efwt.append(right and all(near))
        if c.stress is not None:
            stress.append(p.stress - c.stress)
    d = np.array(differences)
    of_forces = {
        "forces_mae": np.mean(np.abs(d)),
        "forces_mse": np.mean(d**2),
        "forces_rmse": np.sqrt(np.mean(d**2)),
        "forces_x_mae": np.mean(np.abs(d[:, 0])),
        "forces_y_mae": np.mean(np.abs(d[:, 1])),
        "forces_z_mae": np.mean(np.abs(d[:, 2])),
        "forces_difference": np.mean(np.sqrt((d**2).sum(axis=1))),
        "forces_cosine": np.mean(cosine),
        "forces_magnitude": np.mean(magnitude),
    }
    if element is not None:
        return of_forces
    return of_forces | {
        "energy_mae": np.mean(np.abs(energy)),
        "energy_mse": np.mean(np.square(energy)),
        "energy_rmse": np.sqrt(np.mean(np.square(energy))),
        "energy_per_atom_mae": np.mean(np.abs(per_atom)),
        "energy_per_atom_mse": np.mean(np.square(per_atom)),
        "energy_per_atom_rmse": np.sqrt(np.mean(np.square(per_atom))),
        "ewt": np.mean(ewt),
        "efwt": np.mean(efwt),
        "stress_mae": np.mean(np.abs(stress)),
        "stress_rmse": np.sqrt(np.mean(np.square(stress))),
    }


@pytest.mark.parametrize("free_only", [True, False])
def test_metrics_equal_their_formulas(free_only: bool) -> None:
    pairs = labelled_pairs()
    summary = evaluate(iter(pairs), free_atoms_only=free_only)
    assert summary.metrics == pytest.approx(reference(pairs, free_only), rel=1e-12)
    assert summary.structures == 40 and summary.atoms == sum(len(c) for c, _ in pairs)
    assert 0.1 < summary.metrics["ewt"] < 0.95  # the thresholds separate


def test_some_structures_are_within_both_thresholds() -> None:
    pairs = labelled_pairs(number=100, error=0.01)
    metrics = evaluate(pairs).metrics
    assert metrics["efwt"] == reference(pairs)["efwt"]
    assert 0.1 < metrics["efwt"] < metrics["ewt"] < 1


def test_groups_and_elements() -> None:
    pairs = labelled_pairs()
    summary = evaluate(pairs)
    assert set(summary.groups) == {"bulk", "slab", "molecules & more"}
    for group, sums in summary.groups.items():
        expected = reference(pairs, wanted=lambda c, group=group: c.group == group)
        assert sums.values() == pytest.approx(expected, rel=1e-12)
    assert set(summary.elements) == {"H", "O", "Cu"}
    for symbol, number in (("H", 1), ("O", 8), ("Cu", 29)):
        values = summary.elements[symbol].values()
        assert values == pytest.approx(reference(pairs, element=number), rel=1e-12)


def assert_same(first: Summary, second: Summary) -> None:
    assert first.metrics == pytest.approx(second.metrics, rel=1e-12)
    assert first.sums.counts == second.sums.counts
    assert (first.structures, first.atoms) == (second.structures, second.atoms)
    assert first.labels == second.labels
    for name in ("groups", "elements"):
        parts, others = getattr(first, name), getattr(second, name)
        assert parts.keys() == others.keys()
        for key, sums in parts.items():
            assert sums.values() == pytest.approx(others[key].values(), rel=1e-12)
    for quantity, parity in first.parity.items():
        points = [np.sort(p.points, axis=0) for p in (parity, second.parity[quantity])]
        np.testing.assert_array_equal(*points)
    for name in ("errors", "errors_of_elements"):
        for quantity, errors in getattr(first, name).items():
            np.testing.assert_array_equal(errors.counts, getattr(second, name)[quantity].counts)
    for quantity, worst in first.worst.items():
        names = [[w.configuration.index for w in s.worst[quantity]] for s in (first, second)]
        assert names[0] == names[1] and len(worst) == 6


def test_parts_merge_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """However structures are compared together, and dealt to ranks."""
    pairs = labelled_pairs()
    whole = evaluate(pairs)
    monkeypatch.setattr(evaluating_module(), "_ATOMS", 10)
    assert_same(evaluate(pairs), whole)
    first = evaluate(pairs[1::2])
    first.merge(evaluate(pairs[0::2]))
    first.merge(evaluate([]))
    assert_same(first, whole)


def evaluating_module():
    import importlib

    return importlib.import_module("torchml.evaluation.evaluating")


def test_the_worst_structures() -> None:
    pairs = labelled_pairs()
    worst = evaluate(pairs).worst
    per_atom = {
        c.index: abs(p.energy - c.energy) / len(c) for c, p in pairs if c.energy is not None
    }
    expected = sorted(per_atom, key=per_atom.get, reverse=True)[:6]
    assert [w.configuration.index for w in worst["energy"]] == expected
    first = worst["forces"][0]
    c, p = pairs[first.configuration.index]
    lengths = np.linalg.norm(p.forces - c.forces, axis=1)
    if c.fixed is not None:
        lengths[c.fixed] = np.nan
    np.testing.assert_allclose(first.of_atoms, lengths)
    assert first.error == np.nanmax(lengths)
    assert c.energy is None and first.energy_error is None
    c, p = pairs[worst["energy"][0].configuration.index]
    assert worst["energy"][0].energy_error == p.energy - c.energy


def test_a_prediction_that_is_not_a_number_is_the_worst() -> None:
    pairs = labelled_pairs(number=3)
    forces = pairs[1][1].forces.copy()
    forces[:] = np.nan
    pairs[1] = pairs[1][0], Evaluation(energy=float("nan"), forces=forces)
    summary = evaluate(pairs, free_atoms_only=False)
    assert np.isnan(summary.metrics["energy_mae"]) and np.isnan(summary.metrics["forces_mae"])
    for quantity in ("energy", "forces"):
        assert summary.worst[quantity][0].configuration.index == 1
        assert summary.worst[quantity][0].error == np.inf
        assert np.isfinite(summary.parity[quantity].points).all()


def test_relaxed_energies() -> None:
    structure = labelled_pairs(number=3)[0][0]
    pairs = [
        (
            Configuration(
                structure.numbers, structure.positions, energy=7.0, relaxed_energy=e, index=k
            ),
            Evaluation(energy=p),
        )
        for k, (e, p) in enumerate([(1.0, 1.5), (2.0, 1.99), (None, 3.0)])
    ]
    metrics = evaluate(pairs, "is2re").metrics
    assert metrics["energy_mae"] == pytest.approx((0.5 + 0.01) / 2)
    assert metrics["energy_mse"] == pytest.approx((0.25 + 0.0001) / 2)
    assert metrics["ewt"] == 0.5
    assert not any(name.startswith(("forces", "stress")) for name in metrics)


def test_stress_of_slabs_without_a_volume_does_not_count() -> None:
    c = Configuration([1], [[0, 0, 0]], np.diag([3.0, 3.0, 0.0]), [1, 1, 0], stress=np.ones(6))
    metrics = evaluate([(c, Evaluation(energy=0.0, stress=np.zeros(6)))]).metrics
    assert metrics == {}


def test_no_labels_are_an_error_that_says_which_are_expected() -> None:
    c = Configuration([1], [[0, 0, 0]])
    for task, words in (("s2ef", "--task is2re"), ("is2re", "y_relaxed")):
        summary = evaluate([(c, Evaluation(energy=0.0))], task)
        with pytest.raises(DataError, match=f"no configuration of 1 has a label.*{words}"):
            check_labels(summary, "test.extxyz")


def test_another_number_of_atoms_is_an_error() -> None:
    c = Configuration([1, 1], [[0, 0, 0], [0, 0, 1]], forces=np.zeros((2, 3)), source="a.xyz")
    with pytest.raises(DataError, match=r"a.xyz, configuration 0: the predicted forces .*\[1, 3\]"):
        evaluate([(c, Evaluation(energy=0.0, forces=np.zeros((1, 3))))])
