"""Distributions: bounded, exact, and the same for any order and any cut."""

from __future__ import annotations

import numpy as np
import pytest

from torchml.evaluation import metrics_distributions
from torchml.evaluation.metrics_distributions import LogHistogram, Parity


def test_histograms_count_every_error() -> None:
    errors = np.array([0.0, 1e-12, 0.01, 0.0101, 0.5, 3e9, np.nan])
    histogram = LogHistogram()
    histogram.add(errors)
    assert histogram.counts.sum() == 7
    assert histogram.counts[0] == 2 and histogram.counts[-1] == 2
    bin_ = np.flatnonzero(histogram.edges <= 0.0100001)[-1]
    assert histogram.counts[bin_] == 2


def test_quantiles_are_exact_to_a_bin() -> None:
    errors = np.abs(np.random.default_rng(0).normal(size=5001))
    first, second = LogHistogram(), LogHistogram()
    first.add(errors[:1000])
    second.add(errors[1000:])
    first.merge(second)
    for share in (0.05, 0.5, 0.95):
        assert first.quantile(share) == pytest.approx(np.quantile(errors, share), rel=0.07)


def cut(points: np.ndarray, *ends: int) -> Parity:
    whole = Parity()
    for part in np.split(points, ends):
        piece = Parity()
        for block in np.array_split(part, 3):
            piece.add(block[:, 0], block[:, 1])
        whole.merge(piece)
    return whole


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e5])
def test_cells_count_every_point_wherever_the_data_are_cut(scale: float) -> None:
    generator = np.random.default_rng(1)
    labels = scale * generator.normal(size=50_000)
    points = np.stack([labels, labels + 0.1 * scale * generator.normal(size=50_000)], axis=1)
    whole = Parity()
    whole.add(points[:, 0], points[:, 1])
    assert len(whole) == 50_000 and not len(whole.points)
    expected, counts = np.unique(np.floor(points / whole.side), axis=0, return_counts=True)
    np.testing.assert_array_equal(whole.cells, expected)
    np.testing.assert_array_equal(whole.counts, counts)
    assert 80 <= np.ptp(labels) / whole.side <= 160
    for parity in (
        cut(points, 100, 30_000),
        cut(points[::-1], 49_999),
        cut(points, 10_000, 20_000),
    ):
        assert parity.level == whole.level
        np.testing.assert_array_equal(parity.cells, whole.cells)
        np.testing.assert_array_equal(parity.counts, whole.counts)


def test_few_points_are_kept() -> None:
    points = np.random.default_rng(2).normal(size=(300, 2))
    parity = cut(points, 50, 200)
    np.testing.assert_array_equal(parity.points, points)
    assert parity.range == (points[:, 0].min(), points[:, 0].max())


def test_predictions_far_from_all_labels_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_distributions, "_MOST_CELLS", 1000)
    generator = np.random.default_rng(3)
    parity = Parity()
    for _ in range(5):
        parity.add(generator.normal(size=9000), 1e6 * generator.normal(size=9000))
    assert len(parity) == 45_000 and len(parity.cells) <= 1000


def test_equal_labels_and_missing_predictions() -> None:
    parity = Parity()
    parity.add(np.full(30_000, -3.5), np.full(30_000, -3.4))
    parity.add(np.array([1.0]), np.array([np.nan]))
    assert len(parity) == 30_000
    corner = parity.cells[0] * parity.side
    np.testing.assert_allclose(corner, [-3.5, -3.4], atol=parity.side)
