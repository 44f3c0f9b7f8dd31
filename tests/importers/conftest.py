"""The environment that has the packages whose models are imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def peers_python() -> Path:
    """Python of the environment that `install_dependencies.sh --with-importers` makes."""
    folder = os.environ.get("TORCHML_PEERS")
    if folder is None:
        pytest.fail("TORCHML_PEERS is not set, expected the env.sh of --with-importers")
    return Path(folder) / "bin" / "python"
