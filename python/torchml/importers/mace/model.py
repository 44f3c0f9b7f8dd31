"""Models of MACE (https://github.com/ACEsuit/mace) in every simulator.

    python -m torchml_export mace.model --from mace --install user

or, to choose elements and head,

    torchml.export_model("mace.model", source="mace", species=["Si", "O"], head="pbe")

The model becomes a function of edge vectors, `torchml.importers.mace.network.MACE`, whose
energies are compared with MACE's own before it is returned. mace-torch is needed to read the file,
not to run the exported model.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from torchml.contract import metadata
from torchml.errors import FileError
from torchml.importers.mace.plan import build
from torchml.importers.pickles import foreign_names
from torchml.models.base import float_type
from torchml.models.scaled import Scaled
from torchml.models.scripting import describe, script


def load(
    model: str | Path | torch.nn.Module,
    species: Sequence[str] | None = None,
    head: str | None = None,
) -> Scaled:
    """The potential of a MACE model, in float64.

    Args:
        model: file that MACE saved, or the module itself. A file is a pickle, which can run any
            code: it must come from a source that you trust. It is read in a process of its own, so
            that MACE is not imported here.
        species: chemical symbols of the elements wanted; None takes all of the model.
        head: which head of a model with several; None takes the one called default.

    Returns:
        The potential; its energies of a test cluster are MACE's own.

    Raises:
        TorchMLError: the file is no MACE, this variant is not supported, or mace-torch is missing.
    """
    if isinstance(model, torch.nn.Module):
        from torchml.importers.mace.reading import read_module

        return build(read_module(model, type(model).__name__, species, head))
    return build(_read_elsewhere(Path(model), species, head))


def save(potential: Scaled, path: Path, dtype: str = "float64") -> Path:
    """Write a potential as TorchScript with metadata.

    Args:
        potential: of `load`; its network is changed to `dtype`.
        path: of the archive.
        dtype: float32 or float64.

    Returns:
        The path.
    """
    potential.network.to(float_type(dtype))
    metadata.save(script(potential, "edges"), path, describe(potential, "edges"))
    return path


def is_mace(path: Path) -> bool:
    """Whether a file holds a model that MACE saved; nothing in it runs."""
    return any(name.startswith("mace.modules.") for name in foreign_names(path))


def import_mace() -> Any:
    """The package `mace`. What it changes in torch is undone afterwards."""
    from torchml.importers.mace.reading import import_mace

    return import_mace()


def _read_elsewhere(path: Path, species: Sequence[str] | None, head: str | None) -> dict[str, Any]:
    """The plan of the model in a file, from a process of its own."""
    if not path.is_file():
        raise FileError(f"{path}: no such file, expected a model of MACE")
    options = json.dumps({"species": species and list(species), "head": head})
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "plan"
        search = os.pathsep.join(one or os.getcwd() for one in sys.path)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "torchml.importers.mace.reading", path, output, options],
            env={**os.environ, "PYTHONPATH": search},
            capture_output=True,
            text=True,
            check=False,
        )
        if not output.is_file():
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise FileError(
                f"{path} could not be read: the process that reads it ended with status "
                f"{done.returncode} ({lines[-1] if lines else 'no message'})"
            )
        content: dict[str, Any] = torch.load(output, map_location="cpu", weights_only=True)
    if "error" in content:
        raise FileError(content["error"])
    plan: dict[str, Any] = content["plan"]
    return plan
