"""Portable models for tests: models of the package, and handwritten ones."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from torchml import kim
from torchml.contract import metadata, param_file
from torchml.export.compression import compress
from torchml.models import EdgeModel, Scaled, SchNet, StillingerWeber, describe, script

CUTOFF = 4.0


@dataclass(frozen=True)
class Example:
    """A model, its archive, the folder of the portable model, and its KIM name."""

    model: EdgeModel
    archive: Path
    folder: Path
    name: str


def make_model(kind: str) -> EdgeModel:
    """The models of the tests: sw, schnet, schnet32 (single precision), binary (two species),
    splines (schnet compressed), splines32 (its network in single precision)."""
    torch.manual_seed(7)
    if kind in ("splines", "splines32"):
        model = compress(Scaled(make_model("schnet"))).model
        model.network.to(torch.float32 if kind == "splines32" else torch.float64)
        return model
    if kind == "sw":
        return StillingerWeber()
    species = ["Si", "O"] if kind == "binary" else ["Si"]
    dtype = torch.float32 if kind == "schnet32" else torch.float64
    return SchNet(species, cutoff=CUTOFF, layers=3, features=16, gaussians=8, dtype=dtype)


def write_example(kind: str, convention: str, parent: Path) -> Example:
    """A model of the package in a convention, as an archive and as a folder for KIM."""
    return write_model(make_model(kind), f"{kind}_{convention}", convention, parent)


def write_model(model: EdgeModel, label: str, convention: str, parent: Path) -> Example:
    """Any model in a convention, as an archive and as a folder for KIM."""
    name = kim.model_name(f"Test_{label}")
    archive = parent / f"{label}.pt"
    facts = describe(model, convention)
    scripted = script(model, convention)
    metadata.save(scripted, archive, facts)
    inputs = len(scripted.forward.schema.arguments) - 1
    write_folder(
        parent / name,
        {"model.pt": archive, f"{name}.param": param_file.render(facts, "model.pt", inputs)},
        list(model.species),
    )
    return Example(model, archive, parent / name, name)


def write_folder(
    folder: Path, files: dict[str, str | Path], species: list[str], driver: str = kim.DRIVER
) -> None:
    """Write the folder of a portable model with these parameter files, valid or not."""
    kim.write_portable_model(
        folder,
        driver=driver,
        species=species,
        parameter_files=files,
        title="Made by a test",
        description="Made by a test.",
    )


def save_graph_model(body: str, path: Path, result: str = "Tensor", dtype: str = "float64") -> None:
    """Save a graph model of one layer whose forward has this body; `self.scale` is 1.0."""

    class Model(torch.jit.ScriptModule):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1, dtype=getattr(torch, dtype)))
            self.define(
                "def forward(self, species: Tensor, coords: Tensor, edge_index0: Tensor, "
                f"contributing: Tensor) -> {result}:\n" + body
            )

    with metadata.quiet_torchscript():
        Model().save(str(path))


GRAPH_PARAM = """\
# Number of species
1
Si

# Preprocessing kind
Graph

# Cutoff and n_conv layers
4.0
1

# Model
model.pt

# Returns Forces
False

# Number of inputs
4

# Any descriptors?
None
"""


@cache
def openkim_sw() -> str:
    """OpenKIM's own Stillinger-Weber silicon, in the version that is installed."""
    with TemporaryDirectory() as scratch:  # KIM-API writes a log
        command = ["kim-api-collections-management", "list"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=True)
    found = re.findall(r"SW_StillingerWeber_1985_Si__MO_405512056662_\d{3}", done.stdout)
    assert found, "the package openkim-models is not installed"
    return max(found)


def silicon(repeat: int = 1, amplitude: float = 0.1, seed: int = 3) -> Atoms:
    """Rattled diamond silicon, 8 atoms per cubic cell of 5.431 Å."""
    atoms = bulk("Si", cubic=True).repeat(repeat)
    atoms.positions += np.random.default_rng(seed).uniform(-amplitude, amplitude, (len(atoms), 3))
    return atoms


def dense() -> Atoms:
    """8 atoms in a cube that is smaller than the cutoffs: 3.7 Å."""
    atoms = silicon()
    atoms.set_cell(atoms.cell * (3.7 / atoms.cell[0, 0]), scale_atoms=True)
    return atoms


def cluster(atoms: int = 12, seed: int = 3) -> Atoms:
    """A cluster of rattled silicon without a cell."""
    piece = silicon(2, seed=seed)
    nearest = np.argsort(np.linalg.norm(piece.positions - 5.4, axis=1))[:atoms]
    return Atoms(f"Si{atoms}", positions=piece.positions[nearest])


def relative(value: object, expected: object) -> float:
    """Largest difference over the largest expected value."""
    value, expected = np.asarray(value, dtype=float), np.asarray(expected, dtype=float)
    assert value.shape == expected.shape
    return float(np.abs(value - expected).max() / np.abs(expected).max())
