"""Archives that all processes of a run of the tests share: each is compiled once."""

from __future__ import annotations

import fcntl
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from helpers.torchscript import refused
from torchml.contract import metadata
from torchml.export.aoti.compilation import compile_module
from torchml.models import SchNet, describe, script


def folder_of_all_workers(factory: pytest.TempPathFactory) -> Path:
    """A folder of this run that the workers of pytest-xdist have in common."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def once(path: Path, make: Callable[[], None]) -> None:
    """Call `make`, which writes `path`, unless another process did."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            make()


def compiled_schnet(folder: Path, convention: str) -> tuple[Path, Path]:
    """A small SchNet of silicon and oxygen: TorchScript, and what was compiled of the network.

    TorchScript has no part in the second.

    Args:
        folder: for the archives.
        convention: of the archives.
    """
    plain = folder / f"schnet_{convention}.pt"
    compiled = plain.with_suffix(".pt2")

    def make() -> None:
        torch.manual_seed(1)
        layers = 1 if convention == "none" else 2
        model = SchNet(["Si", "O"], 4.0, layers=layers, features=4, gaussians=4)
        metadata.save(script(model, convention), plain, describe(model, convention))
        facts = metadata.read(plain)
        assert facts is not None
        with refused():
            facts = compile_module(None, facts, compiled, name="SchNet", network=model)
        assert metadata.read(compiled) == facts

    once(compiled, make)
    return plain, compiled


def rewrite(source: Path, target: Path, changes: dict[str, str | None]) -> None:
    """A copy of an archive with other extra files and without its libraries."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            for end, text in changes.items():
                if name.endswith(end):
                    content = None if text is None else text.encode()
            if content is not None and not name.endswith(".so"):
                new.writestr(name, content)
