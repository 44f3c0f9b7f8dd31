"""The environment that has the packages whose models are imported."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from torchml.importers.imported import Imported, imported

Content = dict[str, Any]


@pytest.fixture(scope="session")
def peers_python() -> Path:
    """Python of the environment that `install_dependencies.sh --with-importers` makes."""
    folder = os.environ.get("TORCHML_PEERS")
    if folder is None:
        pytest.fail("TORCHML_PEERS is not set, expected the env.sh of --with-importers")
    return Path(folder) / "bin" / "python"


@pytest.fixture(scope="module")
def content(folder: Path) -> Callable[[str], Content]:
    """content(name): what one reading into the module's folder handed over."""

    def load(name: str) -> Content:
        error = folder / f"{name}.error"
        assert not error.exists(), error.read_text()
        read: Content = torch.load(folder / f"{name}.content", weights_only=True)
        return read

    return load


@pytest.fixture(scope="module")
def model(content: Callable[[str], Content]) -> Callable[[str], Imported]:
    """model(name): the model of one reading, compared with the package's own results."""
    return lambda name: imported(content(name), name)
