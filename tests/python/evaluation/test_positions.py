"""Metrics of relaxed structures against formulas written out, and images counted one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from helpers.evaluated import SKEWED, relaxed_configurations
from torchml.data.configuration import Configuration
from torchml.evaluation import Relaxed, evaluate
from torchml.evaluation.metrics_positions import (
    DISTANCE_THRESHOLDS,
    FORCE_THRESHOLDS,
    difference_by_fractions,
    minimum_image_difference,
)


def nearest(vector: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The shortest of 9³ images."""
    shifts = itertools.product(*(range(-4, 5) if periodic else (0,) for periodic in pbc))
    images = [vector + np.array(shift) @ cell for shift in shifts]
    return min(images, key=np.linalg.norm)


def by_fractions(vector: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Fractional coordinates between -0.5 and 0.5, one at a time."""
    fractions = vector @ np.linalg.inv(cell)
    for k in range(3):
        if pbc[k]:
            fractions[k] -= np.floor(fractions[k])
        if fractions[k] > 0.5:
            fractions[k] -= 1
    return fractions @ cell


def predictions(configurations: list[Configuration], seed: int = 1) -> list[Relaxed]:
    """Near the relaxed positions, shifted by lattice vectors; the fixed atom is far away."""
    generator = np.random.default_rng(seed)
    found = []
    for c in configurations:
        positions = c.relaxed_positions + generator.normal(0, 0.25, c.positions.shape)
        positions += generator.integers(-1, 2, (len(c), 3)) * c.pbc @ c.cell
        positions[0] += 1.7
        forces = generator.normal(0, 0.1, c.positions.shape)
        forces[0] = 50.0
        found.append(Relaxed(positions, c.relaxed_energy + 0.01, forces))
    return found


def test_metrics_equal_their_formulas() -> None:
    configurations = relaxed_configurations(number=30)
    relaxed = predictions(configurations)
    means, image_means, differences, largest = [], [], [], []
    for c, r in zip(configurations, relaxed, strict=True):
        vectors = [r.positions[k] - c.relaxed_positions[k] for k in range(1, len(c))]
        ocp = [np.linalg.norm(by_fractions(v, c.cell, c.pbc)) for v in vectors]
        near = [nearest(v, c.cell, c.pbc) for v in vectors]
        means.append(np.mean(ocp))
        image_means.append(np.mean([np.linalg.norm(v) for v in near]))
        differences += near
        largest.append(max(np.linalg.norm(f) for f in r.forces[1:]))
    d = np.array(differences)
    expected = {
        "adwt": np.mean([m < t for m in means for t in np.arange(0.01, 0.5, 0.001)]),
        "adwt_minimum_image": np.mean(
            [m < t for m in image_means for t in np.arange(0.01, 0.5, 0.001)]
        ),
        "distance": np.mean([np.linalg.norm(v) for v in d]),
        "positions_mae": np.mean(np.abs(d)),
        "positions_mse": np.mean(d**2),
        "fbt": np.mean([f < 0.05 for f in largest]),
        "afbt": np.mean([f < t for f in largest for t in np.arange(0.01, 0.4, 0.001)]),
    }
    summary = evaluate(zip(configurations, relaxed, strict=True), "is2rs")
    metrics = summary.metrics
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert metrics["energy_mae"] == pytest.approx(0.01)
    assert metrics["adwt"] < metrics["adwt_minimum_image"]  # the cells are skewed
    assert 0.1 < metrics["adwt_minimum_image"] < 0.9 and 0.1 < metrics["afbt"] < 0.9


def test_groups_elements_and_parts() -> None:
    configurations = relaxed_configurations()
    pairs = list(zip(configurations, predictions(configurations), strict=True))
    whole = evaluate(pairs, "is2rs")
    for group in ("even", "odd"):
        part = evaluate([(c, r) for c, r in pairs if c.group == group], "is2rs")
        assert whole.groups[group].values() == pytest.approx(part.metrics)
    assert set(whole.elements) == {"C", "Cu"}
    atoms = sum(sums.counts["distance"] for sums in whole.elements.values())
    total = sum(sums.totals["distance"] for sums in whole.elements.values())
    assert total / atoms == pytest.approx(whole.metrics["distance"])
    parts = evaluate(pairs[5:], "is2rs")
    parts.merge(evaluate(pairs[:5], "is2rs"))
    assert parts.metrics == pytest.approx(whole.metrics, rel=1e-12)
    assert [w.configuration.index for w in parts.worst["distance"]] == [
        w.configuration.index for w in whole.worst["distance"]
    ]


def test_thresholds() -> None:
    assert len(DISTANCE_THRESHOLDS) == 490 and len(FORCE_THRESHOLDS) == 390


def test_a_distance_at_a_threshold_is_not_within_it() -> None:
    c = Configuration([1], [[0, 0, 0]], relaxed_positions=np.zeros((1, 3)))
    at = float(DISTANCE_THRESHOLDS[100])
    metrics = evaluate([(c, Relaxed(np.array([[at, 0.0, 0.0]])))], "is2rs").metrics
    assert metrics["adwt"] == (490 - 101) / 490


def test_images_in_a_skewed_cell() -> None:
    c = Configuration([1], [[0, 0, 0]], SKEWED, True, relaxed_positions=np.zeros((1, 3)))
    vector = np.array([0.1, 0.42, 0.0])
    ocp = difference_by_fractions(c, vector[None])[0]
    image = minimum_image_difference(c, vector[None])[0]
    np.testing.assert_allclose(ocp, by_fractions(vector, SKEWED, c.pbc))
    np.testing.assert_allclose(image, nearest(vector, SKEWED, c.pbc))
    assert np.linalg.norm(image) < np.linalg.norm(ocp) - 0.5


@pytest.mark.parametrize("cell", [np.zeros((3, 3)), np.diag([3.0, 3.0, 0.0])])
def test_structures_without_a_volume(cell: np.ndarray) -> None:
    pbc = cell.any(axis=1)
    c = Configuration([1], [[0, 0, 0]], cell, pbc, relaxed_positions=np.zeros((1, 3)))
    moved = np.array([[0.1, 0.0, 5.0]])
    np.testing.assert_allclose(difference_by_fractions(c, moved), moved)
    np.testing.assert_allclose(minimum_image_difference(c, moved), moved)


def test_structures_without_free_atoms_do_not_count() -> None:
    c = Configuration([1], [[0, 0, 0]], fixed=[True], relaxed_positions=np.zeros((1, 3)))
    relaxed = Relaxed(np.ones((1, 3)))
    assert evaluate([(c, relaxed)], "is2rs").metrics == {}
    assert evaluate([(c, relaxed)], "is2rs", free_atoms_only=False).metrics["adwt"] == 0
