"""The page of an examination, opened in a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.browser import opened
from torchml.reference.agreement import Check, compared, failure
from torchml.reference.physics.curves import Curve, Jump
from torchml.validation.page import write_html
from torchml.validation.results import Examination


def well(name: str, **changes: object) -> Curve:
    """A curve with a steep wall and a well of 1 eV."""
    points = {r: (4 * (r**-12 - r**-6), 0.0) for r in np.linspace(0.5, 2.5, 60).tolist()}
    return replace(Curve("dimer curve", name, "distance (Å)", points), **changes)


@pytest.fixture
def found() -> Examination:
    return Examination(
        *("Model_<Si>__MO_000000000000_000", "cpu", "standard", {"cutoff": "4 Å"}),
        checks=[
            compared("KIM: energy", "crystal", 1e-14, 1e-10),
            compared("KIM: energy", "cluster", 3e-5, 1e-10),
            failure("LAMMPS 2 ranks", "", "the program 'lmp' is not on the PATH"),
            Check("repulsive near zero distance", "warn", "the energy falls", "Si-Si"),
        ],
        curves=[
            well("Si-Si", marks={"cutoff": 2.0}),
            well("Si & O", jumps=[Jump(1.5, 0.1, 0.0)]),
            Curve("constant energy", "flat", "time (ps)", {0.0: (1.0, 0.0), 1.0: (1.0, 0.0)}),
        ],
        figures={"diamond Si": "lattice constant 5.431 Å"},
        notes=["LAMMPS was left out on request."],
    )


def test_the_page_in_a_browser(found: Examination, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_html(found, page)
    assert "default-src 'none'" in page.read_text() and "<script" not in page.read_text()
    for seen in opened(page):
        assert seen["overflow"] == 0 and seen["small"] == 0
        title = "Model_<Si>__MO_000000000000_000: failed"
        sections = ["What did not pass", "Checks", "Curves", "Figures", "Left out"]
        assert seen["headings"] == [title, *sections]
        assert seen["links"] == [True] * 5
        assert [label for _, label in seen["figures"]] == [
            "dimer curve of Si-Si: energy over distance (Å)",
            "dimer curve of Si & O: energy over distance (Å)",
            "constant energy of flat: energy over time (ps)",
        ]
        assert min(width for width, _ in seen["figures"]) > 100
        for text in (
            "KIM: energy on cluster: 3.000e-05 exceeds 1e-10",
            "LAMMPS 2 ranks: the program 'lmp' is not on the PATH",
            *("1/2", "3.0e-05", "jumps at 1.5", "5.431 Å", "on request"),
        ):
            assert text in seen["text"]


def test_a_wall_does_not_hide_the_well(found: Examination, tmp_path: Path) -> None:
    """The plot ends above the well, though the energy at the start is 16,000 eV."""
    write_html(found, tmp_path / "page.html")
    figure = (tmp_path / "page.html").read_text().split("<svg")[1]
    labels = [float(text.replace("−", "-")) for text in numbers(figure)]
    assert min(labels) == -1.0 and max(labels) < 3


def numbers(figure: str) -> list[str]:
    """Texts of the ticks of the energy."""
    return [part.split("<")[0] for part in figure.split('text-anchor="end">')[1:]]
