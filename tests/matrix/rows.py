"""The machines of the matrix: systems, compilers and versions of what TorchML needs."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Row:
    """One machine. What is empty is the system's, or what the set-up chooses.

    Attributes:
        name: name of the row.
        what: what it shows, in a sentence.
        system: suite of Debian, installed in a folder of its own; empty for this machine.
        python: Python on which the environment is built.
        torch: requirement of pip.
        lowest: the lowest Python packages that pyproject.toml allows.
        compilers: C and C++ compiler.
        cmake: requirement of pip.
        kim_api: first numbers of a version of KIM-API, built from its source archive.
        packages: packages of the other Debian. Without them, the set-up installs what it needs as
            root; with them, an ordinary user runs it.
        lammps: LAMMPS is built from its source archive.
    """

    name: str
    what: str
    system: str = ""
    python: str = "python3"
    torch: str = ""
    lowest: bool = False
    compilers: tuple[str, str] | None = None
    cmake: str = ""
    kim_api: str = ""
    packages: tuple[str, ...] = ()
    lammps: bool = False


def lowest_torch() -> str:
    """The oldest torch that pyproject.toml allows."""
    return lowest_packages()["torch"]


def lowest_packages() -> dict[str, str]:
    """The lowest version of each Python package that pyproject.toml asks for."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    bounds = (re.match(r"([\w-]+).*?>=([\d.]+)", line) for line in project["dependencies"])
    return {bound[1]: bound[2] for bound in bounds if bound}


BUILDING = (
    *("cmake", "g++", "make", "pkg-config", "curl", "xz-utils", "xxd"),
    *("python3-venv", "python3-dev"),
)

TESTING = ("libgtest-dev", "git", "chromium")  # what the tests need beside BUILDING

ROWS = (
    Row(
        "oldest",
        "the lowest versions that are promised",
        python="python3.11",
        torch=f"torch=={lowest_torch()}.*",
        lowest=True,
        cmake="cmake==3.20.*",
        kim_api="2.2",
    ),
    Row("newest", "the newest versions", torch="torch", cmake="cmake", kim_api="2.4"),
    Row(
        "clang",
        "Clang, with the Python and the CMake of Ubuntu 24.04",
        python="python3.12",
        compilers=("clang", "clang++"),
        cmake="cmake==3.28.*",
    ),
    Row("python-3.13", "Python 3.13 and torch 2.14", python="python3.13", torch="torch==2.14.*"),
    Row(
        "no-root",
        "Debian 12, a user who installs no packages: KIM-API and LAMMPS from source archives",
        system="bookworm",
        kim_api="2.4",
        lammps=True,
        packages=(*BUILDING, "gfortran", "openmpi-bin", "libopenmpi-dev"),
    ),
    Row(
        "mpich",
        "Debian 12 with MPICH: an ordinary user builds LAMMPS from its source archive",
        system="bookworm",
        lammps=True,
        packages=(*BUILDING, "libkim-api-dev", "openkim-models", "mpich", "libmpich-dev"),
    ),
    Row("debian-12", "Debian 12, newly installed", system="bookworm"),
    Row("debian-13", "Debian 13, newly installed", system="trixie"),
    Row("debian-unstable", "Debian unstable, newly installed", system="sid"),
)
