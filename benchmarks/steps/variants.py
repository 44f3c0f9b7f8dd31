"""The ways in which one network is run, and its models for them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import torchml
from torchml import TorchMLError
from torchml.contract import metadata
from torchml.contract.metadata import quiet_torchscript
from torchml.importers.checkpoint import FORMAT, KEY
from torchml.models import Scaled, SchNet, describe, script
from torchml.models.build import describe_class

CUTOFF = 4.0  # Å
SKIN = 2.0  # Å, LAMMPS' default
LAYERS = 3
FEATURES = 64
GAUSSIANS = 32


@dataclass(frozen=True)
class ModelKind:
    """Properties of a model file.

    convention: calling convention, `edges` or `graph`.
    dtype: of the network, `float64` or `float32`.
    format: `torchscript` or `aoti`.
    compressed: radial networks replaced by splines.
    """

    convention: str = "edges"
    dtype: str = "float64"
    format: str = "torchscript"
    compressed: bool = False

    @property
    def name(self) -> str:
        """Of the files, and of the KIM model behind `Benchmark_`."""
        parts = [self.convention, self.format, self.dtype] + ["compressed"] * self.compressed
        return "_".join(parts)


@dataclass(frozen=True)
class Variant:
    """One way to run the network.

    program: program of the steps: `ours` and `original` are KIM drivers in LAMMPS, `ase` is ASE
        with minimum-image edges, and so without ghosts.
    eager: ASE calls the Python network, not the model file.
    """

    name: str
    model: ModelKind
    program: str = "ours"
    folding: bool = True
    eager: bool = False

    @property
    def compressed(self) -> bool:
        return self.model.compressed

    @property
    def dtype(self) -> str:
        return self.model.dtype


def _variants() -> dict[str, Variant]:
    """Return the variants by their key on the command line, in the order of the tables."""
    f64, f32 = "float64", "float32"
    aoti = "aoti"
    every = {
        "original": Variant("original driver f64", ModelKind("graph"), "original"),
        "ase-eager64": Variant("ASE, eager f64", ModelKind(), "ase", eager=True),
        "ase-eager32": Variant("ASE, eager f32", ModelKind(dtype=f32), "ase", eager=True),
        "ase-aoti64": Variant("ASE, AOTInductor f64", ModelKind(format=aoti), "ase"),
        "ase-aoti32": Variant("ASE, AOTInductor f32", ModelKind(dtype=f32, format=aoti), "ase"),
        "graph64": Variant("TorchScript `graph` f64", ModelKind("graph")),
    }
    for key, text, folding in (("", "", True), ("-ghosts", ", not folded", False)):
        for compressed in (False, True):
            for form, word in (("torchscript", "TorchScript"), (aoti, "AOTInductor")):
                for dtype, bits in ((f64, "64"), (f32, "32")):
                    short = ("c" if compressed else "") + ("aoti" if form == aoti else "ts") + bits
                    name = f"{word}{' compressed' if compressed else ''} f{bits}{text}"
                    kind = ModelKind("edges", dtype, form, compressed)
                    every[short + key] = Variant(name, kind, folding=folding)
    return every


VARIANTS = _variants()


def network(dtype: str) -> SchNet:
    """The network, always with the same weights."""
    torch.manual_seed(2018)
    model = SchNet(["Si"], cutoff=CUTOFF, layers=LAYERS, features=FEATURES, gaussians=GAUSSIANS)
    return model.to(getattr(torch, dtype)).requires_grad_(False)


class Contributing(torch.nn.Module):
    """A `graph` model for the original driver, which sums all energies."""

    def __init__(self, model: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        species: Tensor,
        coords: Tensor,
        edge_index0: Tensor,
        edge_index1: Tensor,
        edge_index2: Tensor,
        contributing: Tensor,
    ) -> Tensor:
        energies: Tensor = self.model(
            species, coords, edge_index0, edge_index1, edge_index2, contributing
        )
        return energies[contributing == 0]


class Models:
    """Exports models as a user does, each at its first use, into a collection in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.collection = folder / "collection"
        self.collection.mkdir(parents=True)
        self._ready: dict[ModelKind, Path | str] = {}

    def installed(self, kind: ModelKind) -> Path:
        """The exported folder, whose name is that of the KIM model.

        Raises TorchMLError with the reason if the export fails.
        """
        if kind not in self._ready:
            try:
                self._ready[kind] = self._export(kind)
            except TorchMLError as error:
                self._ready[kind] = str(error)
        ready = self._ready[kind]
        if isinstance(ready, str):
            raise TorchMLError(ready)
        return ready

    def model_file(self, kind: ModelKind) -> Path:
        """The archive or package in the exported folder."""
        folder = self.installed(kind)
        suffix = ".pt2" if kind.format == "aoti" else ".pt"
        return next(file for file in sorted(folder.iterdir()) if file.suffix == suffix)

    def _export(self, kind: ModelKind) -> Path:
        name = f"Benchmark_{kind.name}"
        command = [sys.executable, "-m", "torchml_export", str(self._source(kind))]
        command += ["--name", name, "--output", str(self.folder), "--install", "environment"]
        if kind.convention == "edges":
            command += ["--dtype", kind.dtype]
        command += ["--format", kind.format]
        if kind.compressed:
            command += ["--compress"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise TorchMLError(lines[-1] if lines else f"the export ended with {done.returncode}")
        folder = next((path for path in self.folder.glob(f"{name}__*") if path.is_dir()), None)
        if folder is None:
            raise TorchMLError(f"the export of {name} left no folder in {self.folder}")
        return folder

    def _source(self, kind: ModelKind) -> Path:
        """Return the source of the export: a checkpoint or a `graph` archive."""
        if kind.convention == "graph":
            path = self.folder / "graph.pt"
            with quiet_torchscript():
                module = torch.jit.script(Contributing(script(network("float64"), "graph")))
            metadata.save(module, path, describe(network("float64"), "graph"))
            return path
        path = self.folder / "edges.ckpt"
        class_path, arguments = describe_class(network("float64"))
        entry = {"format": FORMAT, "task": "s2ef", "version": torchml.__version__}
        entry["model"] = {"class_path": class_path, "arguments": arguments}
        state = Scaled(network("float64")).state_dict()
        weights = {f"model.{name}": value for name, value in state.items()}
        torch.save({"state_dict": weights, KEY: entry}, path)
        return path
