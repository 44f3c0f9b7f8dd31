"""docs/architecture.md names files and functions that exist; its figures agree with the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/architecture.md").read_text()
CODE = r"`([^`\n]+)`"


def tree() -> list[str]:
    """Paths of the listing of the repository, whose indentation shows the folders."""
    listing = re.search(r"^```\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)[1]
    folders: list[tuple[int, str]] = []
    paths = []
    for line in listing.splitlines():
        name = line.split()[0]
        depth = len(line) - len(line.lstrip())
        while folders and folders[-1][0] >= depth:
            folders.pop()
        path = "".join(folder for _, folder in folders) + name
        paths.append(path)
        if name.endswith("/"):
            folders.append((depth, name))
    return paths


def test_the_listing_shows_what_is_there() -> None:
    paths = tree()
    assert [path for path in paths if not (ROOT / path).exists()] == []
    for folder in ("driver/core/", "python/torchml/"):
        shown = {path for path in paths if path.startswith(folder) and path != folder}
        there = {
            f"{folder}{one.name}/"
            for one in (ROOT / folder).iterdir()
            if one.is_dir() and any(one.glob("*.[ch]pp")) + any(one.glob("__init__.py"))
        }
        assert shown == there


def test_paths_in_the_text_exist() -> None:
    paths = [text for text in re.findall(CODE, TEXT) if re.fullmatch(r"[\w.]+(/[\w.]+)+/?", text)]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists() and "stress/" not in path] == []


def test_functions_in_the_text_are_in_their_files() -> None:
    named = re.findall(rf"{CODE}: {CODE}", TEXT)
    assert len(named) > 10
    missing = [
        f"{path}: {name}"
        for path, name in named
        if not re.search(rf"\b{re.split(r'[.:]+', name)[-1]}\(", (ROOT / path).read_text())
    ]
    assert missing == []


def test_the_steps_are_ten_in_order() -> None:
    section = TEXT.split("## One evaluation")[1].split("\n## ")[0]
    assert re.findall(r"^\| (\d+) \|", section, re.MULTILINE) == [str(k) for k in range(1, 11)]


def test_an_export_has_at_most_20_stops_in_10_files() -> None:
    section = TEXT.split("## One export")[1]
    stops = re.findall(rf"^\| (\d+) \| {CODE}: {CODE}", section, re.MULTILINE)
    assert [stop for stop, _, _ in stops] == [str(k) for k in range(1, len(stops) + 1)]
    assert 10 < len(stops) <= 20
    assert len({path for _, path, _ in stops}) <= 10


@pytest.mark.parametrize("figure", re.findall(r"\]\((figures/[^)]+)\)", TEXT))
def test_figures_exist(figure: str) -> None:
    assert (ROOT / "docs" / figure).stat().st_size > 1000


def test_the_layers_in_the_figure_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(c for c in contracts["contracts"] if c["type"] == "layers")["layers"]
    checked = [re.findall(r"\w+", row) for row in layers if not row.startswith("(")]  # optional
    script = (ROOT / "docs/figures/make_architecture.py").read_text()
    rows = re.search(r"rows = \[\n(.*?)\n    \]", script, re.DOTALL)[1]
    drawn = [
        re.findall(r"\w+", ",".join(re.findall(r'"([^"]+)"', row))) for row in rows.split("\n")
    ]
    assert [set(row) for row in drawn] == [set(row) for row in checked]
