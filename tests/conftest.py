"""Models that many tests share: each is written and installed once per session."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest
import torch

from helpers import portable
from torchml import kim


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Use one thread: small systems are not faster with more, and slower on shared cores."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


class NoMPI(MetaPathFinder):
    """Hide mpi4py: a trainer that finds it starts MPI, and mpirun fails in later tests."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "mpi4py":
            raise ModuleNotFoundError("mpi4py is hidden from the tests")


@pytest.fixture(autouse=True, scope="session")
def no_mpi() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "meta_path", [NoMPI(), *sys.meta_path])
        yield


@pytest.fixture(autouse=True, scope="session")
def torchscript_by_default() -> Iterator[None]:
    """Let exports that name no format write TorchScript alone: compiling takes half a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHML_FORMAT", "torchscript")
        yield


@pytest.fixture(autouse=True, scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures of the session also run outside the repository."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        yield


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has its own working directory, because KIM-API writes kim.log there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True, scope="module")
def models_end_here() -> Iterator[None]:
    """End KIM's models with their file of tests: each end is a line in the folder's kim.log."""
    yield
    if "kimpy" in sys.modules:
        gc.collect()


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A private KIM collection of portable models, the first of this process's environment."""
    folder = tmp_path_factory.mktemp("portable-models")
    others = os.environ.get("KIM_API_PORTABLE_MODELS_DIR")
    with pytest.MonkeyPatch.context() as patch:
        value = f"{folder}:{others}" if others else str(folder)
        patch.setenv("KIM_API_PORTABLE_MODELS_DIR", value)
        yield folder


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], portable.Example]:
    """example(kind, convention): a model of the package, not installed."""
    parent = tmp_path_factory.mktemp("examples")
    return cache(lambda kind, convention: portable.write_example(kind, convention, parent))


@pytest.fixture(scope="session")
def installed(
    example: Callable[[str, str], portable.Example], collection: Path
) -> Callable[[str, str], portable.Example]:
    """installed(kind, convention): the same, in the private collection."""

    @cache
    def install(kind: str, convention: str) -> portable.Example:
        found = example(kind, convention)
        kim.install(found.folder, "environment")
        return found

    return install
