"""The HTML page, opened in a browser: pictures, texts, widths; no network and no errors."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from helpers.browser import opened
from helpers.evaluated import labelled_pairs, relaxed_configurations
from torchml.data.configuration import Configuration
from torchml.evaluation import Relaxed, Summary, evaluate, write_report
from torchml.evaluation.drawing import MOST_ATOMS, atoms_to_draw, draw_structure
from torchml.evaluation.evaluate_json import Origin
from torchml.evaluation.metrics_distributions import MOST_POINTS, Parity
from torchml.evaluation.report_figures import parity_figure, ticks
from torchml.inference.evaluation import Evaluation

ORIGIN = Origin("model & co.ckpt", ["data/<test>.extxyz"], {"device": "cpu"}, {"torchml": "1.2.3"})


def many_pairs() -> list[tuple[Configuration, Evaluation]]:
    """More force components than are drawn one by one."""
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    generator = np.random.default_rng(4)
    pairs = []
    for k in range(240):
        forces = generator.normal(size=(32, 3))
        c = Configuration.from_atoms(atoms, index=k)
        c = replace(c, energy=-10.0 + 0.1 * k, forces=forces)
        predicted = forces + 0.1 * generator.normal(size=(32, 3))
        pairs.append((c, Evaluation(energy=-10.0, forces=predicted)))
    return pairs


def relaxed_pairs() -> list[tuple[Configuration, Relaxed]]:
    configurations = relaxed_configurations()
    return [(c, Relaxed(c.positions, 0.0, 0.1 * c.positions)) for c in configurations]


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    summary = evaluate(labelled_pairs())
    page = tmp_path / "page.html"
    write_report(summary, ORIGIN, page)
    sections = ["Predictions and labels", "Distribution of errors", "By element", "By group"]
    for found in opened(page):
        assert found["overflow"] == 0 and found["small"] == 0
        title = "model & co.ckpt on <test>.extxyz"
        assert found["headings"] == [title, *sections, "Largest errors", "All metrics"]
        assert found["links"] == [True] * 6
        assert len(found["images"]) == 6
        assert all(w > 100 and h > 100 and "drawing of random" in a for w, h, a in found["images"])
        figures = [width for width, label in found["figures"] if label]
        assert len(figures) == len(found["figures"]) == 3 + 3 + 3 + 1
        assert min(figures) > 100
        mae = 1e3 * summary.metrics["energy_per_atom_mae"]
        for text in (f"{mae:.3g} meV/atom", "molecules & more", "torchml 1.2.3", "eV/Å", "GPa"):
            assert text in found["text"]
        assert "data/<test>.extxyz" in found["text"]


def test_the_browser_reports_what_a_page_requests(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<html><body><img src="http://127.0.0.1:9/absent.png"></body></html>')
    with pytest.raises(AssertionError, match="absent"):
        opened(page)


@pytest.mark.parametrize("kind", ["cells", "relaxed", "one energy"])
def test_other_pages_in_a_browser(tmp_path: Path, kind: str) -> None:
    summary: Summary = {
        "cells": lambda: evaluate(many_pairs()),
        "relaxed": lambda: evaluate(relaxed_pairs(), "is2rs"),
        "one energy": lambda: evaluate(
            [(Configuration([1], [[0, 0, 0]], energy=1.0), Evaluation(energy=1.0))]
        ),
    }[kind]()
    page = tmp_path / "page.html"
    write_report(summary, ORIGIN, page, title="A title")
    for found in opened(page):
        assert found["overflow"] == 0
        assert found["headings"][0] == "A title"
        assert found["images"] and all(
            min(width, height) > 100 for width, height, _ in found["images"]
        )
        assert ("23,040 points; the stronger the colour of a cell" in found["text"]) == (
            kind == "cells"
        )
        assert ("ADwT" in found["text"]) == (kind == "relaxed")


def test_pages_stay_small(tmp_path: Path) -> None:
    pairs = many_pairs()
    assert 3 * sum(len(c) for c, _ in pairs) > MOST_POINTS
    write_report(evaluate(pairs), ORIGIN, tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 2_000_000


def test_nothing_is_loaded(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_report(evaluate(labelled_pairs(number=5)), ORIGIN, page)
    text = page.read_text()
    assert "default-src 'none'" in text and "<script" not in text
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#)[^"'\s>]+""", text)


def test_large_structures_are_drawn_around_the_largest_error() -> None:
    atoms = bulk("Cu", cubic=True) * (6, 6, 6)
    c = Configuration.from_atoms(atoms)
    errors = np.zeros(len(c))
    errors[700] = 1.0
    errors[:20] = np.nan
    shown = atoms_to_draw(c, errors)
    assert len(c) > len(shown) == MOST_ATOMS and 700 in shown
    distances = np.linalg.norm(c.positions - c.positions[700], axis=1)
    assert distances[shown].max() <= np.delete(distances, shown).min() + 1e-9
    assert draw_structure(c, errors).startswith(b"\x89PNG")


def test_ticks_are_round() -> None:
    assert [text for _, text in ticks(-0.13, 0.42)] == ["−0.1", "0.0", "0.1", "0.2", "0.3", "0.4"]
    assert [value for value, _ in ticks(-3.5, 3.5)] == [-2.0, 0.0, 2.0]
    assert [text for _, text in ticks(-4.6312, -4.6304)] == [
        "−4.6312",
        "−4.6310",
        "−4.6308",
        "−4.6306",
        "−4.6304",
    ]


@pytest.mark.parametrize("copies", [1, 200])
def test_outliers_lie_outside_of_a_plot_but_not_all_predictions(copies: int) -> None:
    """As points, and counted in cells."""
    labels = np.repeat(np.linspace(-4.1, -4.0, 150), copies)
    outliers = np.where(np.arange(len(labels)) % 10 == 0, 1e5, 0.0)
    for offset in (0.0, 6.0, -1e4):  # 6 eV per atom: another zero of energy
        parity = Parity()
        parity.add(labels, labels + offset + outliers)
        assert bool(len(parity.counts)) == (len(labels) > MOST_POINTS)
        outside = parity_figure(parity, 1.0, "eV/atom", "a title")[1]
        assert outside == 15 * copies


def test_a_page_of_predictions_that_are_not_finite(tmp_path: Path) -> None:
    pairs = labelled_pairs(number=12)
    pairs[0][1].forces[:] = np.nan
    write_report(evaluate(pairs), ORIGIN, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "not finite (forces of 1 of 12 structures)" in text
    assert ">nan<" not in text


def test_groups_of_a_page_show_their_structures(tmp_path: Path) -> None:
    pairs = [(c, Relaxed(c.positions)) for c in relaxed_configurations(number=5)]
    write_report(evaluate(pairs, "is2rs"), ORIGIN, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert re.findall(r'data-label="structures">(\d+)<', text) == ["3", "2"]
