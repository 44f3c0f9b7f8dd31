"""The version number, the citation and the changelog agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()


def source_version() -> str:
    """The version in the sources; the installed package may be another one."""
    text = (ROOT / "python/torchml/__init__.py").read_text()
    return re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)[1]


def test_the_package_takes_its_version_from_the_sources() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    provider = project["tool"]["scikit-build"]["metadata"]["version"]
    assert provider["provider"] == "scikit_build_core.metadata.regex"
    assert provider["input"] == "python/torchml/__init__.py"
    settings = pytest.importorskip("scikit_build_core.metadata.regex")
    found = settings.dynamic_metadata("version", {"input": str(ROOT / provider["input"])})
    assert found == source_version()


def test_cmake_packages_have_the_version() -> None:
    text = (ROOT / "descriptor/CMakeLists.txt").read_text()
    assert re.search(r"^\s*VERSION (\S+) COMPATIBILITY", text, re.MULTILINE)[1] == source_version()


def test_the_changelog_describes_the_version() -> None:
    versions = re.findall(r"^## \[([^\]]+)\] - (unreleased|\d{4}-\d\d-\d\d)$", CHANGELOG, re.M)
    assert [line for line in CHANGELOG.splitlines() if line.startswith("## ")] == [
        f"## [{number}] - {date}" for number, date in versions
    ]
    assert versions[0][0] == source_version()
    kinds = set(re.findall(r"^### (.+)$", CHANGELOG, re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_is_valid() -> None:
    """Required and known keys of the Citation File Format 1.2.0."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    required = {"cff-version", "message", "title", "authors"}
    known = required | {
        "abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords",
        "license", "license-url", "preferred-citation", "references", "repository",
        "repository-artifact", "repository-code", "type", "url", "version",
    }  # fmt: skip
    assert required <= set(citation) <= known
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] in ("software", "dataset")
    assert all(set(author) & {"name", "family-names"} for author in citation["authors"])
    assert citation["version"] == source_version()


def test_lowest_versions_are_the_same_everywhere() -> None:
    """What users read, pip, CMake and the set-up demand, and what `make test-matrix` tries."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    torch = next(line for line in project["project"]["dependencies"] if line.startswith("torch>"))
    torch = torch.removeprefix("torch>=")
    major, minor = torch.split(".")
    python = project["project"]["requires-python"].removeprefix(">=")
    cmake = project["tool"]["scikit-build"]["cmake"]["version"].removeprefix(">=")
    readme, cmake_lists, setup, rows, compatibility = (
        (ROOT / path).read_text()
        for path in (
            *("README.md", "CMakeLists.txt", "install_dependencies.sh"),
            *("tests/matrix/rows.py", "docs/compatibility.md"),
        )
    )
    assert re.findall(r"find_package\(LibTorch (\S+) REQUIRED", cmake_lists) == [torch] * 2
    assert re.search(r"cmake_minimum_required\(VERSION (\S+)\)", cmake_lists)[1] == cmake
    kim_api = re.search(r"find_package\(KIM-API-ITEMS (\S+) REQUIRED", cmake_lists)[1]
    assert set(re.findall(r"torch >= ([\d.]+)", setup)) == {torch}
    assert re.search(r"< \((\d+, \d+)\):", setup)[1] == f"{major}, {minor}"
    assert set(re.findall(r"--atleast-version=(\S+) libkim-api", setup)) == {kim_api}
    assert set(re.findall(r"Python (\S+) or newer", setup)) == {python}
    assert f"printf '%s\\n' {cmake} " in setup
    assert f"cmake>={cmake}" in setup
    assert f"CMake ≥ {cmake}, a C++20 compiler, KIM-API ≥ {kim_api} and libtorch ≥ {torch}" in (
        readme
    )
    assert f'cmake="cmake=={cmake}.*"' in rows
    assert f'kim_api="{kim_api}"' in rows
    assert f'python="python{python}"' in rows
    table = dict(re.findall(r"^\| ([\w-]+) \| ([\d.]+) \|", compatibility, re.MULTILINE))
    assert table == {"Python": python, "torch": torch, "CMake": cmake, "KIM-API": kim_api}
