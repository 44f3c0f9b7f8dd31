"""Fixtures of the tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.io import write

from helpers.argon import labelled_structures, write_config


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "argon.extxyz"
    write(path, labelled_structures(20))
    return path


@pytest.fixture
def config(data: Path, scratch: Path) -> Path:
    """A configuration that trains in a second."""
    return write_config(data, scratch)
