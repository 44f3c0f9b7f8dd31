"""Examine models of each kind with `torchml check`: what `make validate` runs.

    python examples/validate.py [--output validation] [--only NAME ...] [--quick]

makes small models (handwritten physics, networks, a compiled archive, a network on descriptors, a
MACE, a checkpoint that is trained here), examines each through all interfaces, and writes a page
and a JSON file of each. The exit status is 0 if no check failed. docs/validation.md explains each
line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import silicon_data
import torch
from ase.io import write
from rich.console import Console
from rich.table import Table

import torchml
from torchml.contract import metadata
from torchml.contract.metadata import quiet_torchscript
from torchml.descriptors import Descriptor, SymmetryFunctions, save_parameters
from torchml.export.compression import compress
from torchml.models import EdgeModel, Scaled, SchNet, StillingerWeber, TensorNet, describe, script
from torchml.models.descriptor_network import DescriptorNetwork

CUTOFF = 4.0  # Å
TRAINING = silicon_data.Size(snapshots=4, strained=10)
EPOCHS = 20


@dataclass(frozen=True)
class Maker:
    """Makes the models, in a folder."""

    folder: Path

    def raw(self) -> list[str]:
        """Stillinger and Weber's potential, which gets neighbour lists."""
        return [self._archive(StillingerWeber(), "sw_raw", "raw")]

    def graph(self) -> list[str]:
        """Stillinger and Weber's potential, which gets staged graphs."""
        return [self._archive(StillingerWeber(), "sw_graph", "graph")]

    def schnet(self) -> list[str]:
        """A SchNet of three layers with random weights."""
        torch.manual_seed(1)
        network = SchNet(["Si"], cutoff=CUTOFF, layers=3, features=16, gaussians=8)
        return [self._archive(network, "schnet", "edges")]

    def tensornet(self) -> list[str]:
        """A TensorNet with random weights, its functions of distances as splines."""
        torch.manual_seed(2)
        network = TensorNet(["Si"], cutoff=CUTOFF, features=8)
        return [self._archive(compress(Scaled(network)).model, "tensornet_compressed", "edges")]

    def descriptor(self) -> list[str]:
        """A network on symmetry functions, with random weights."""
        torch.manual_seed(3)
        descriptor = Descriptor(SymmetryFunctions(["Si"], CUTOFF, "set51"))
        network = DescriptorNetwork(descriptor.width, (8, 8), 0.0)
        structures = silicon_data.silicon()
        structures.rattle(0.1, seed=1)
        network.fit_normalization(torch.tensor(descriptor.compute(structures)))
        archive, parameters = self.folder / "network.pt", self.folder / "descriptor.yaml"
        with quiet_torchscript():
            torch.jit.script(network).save(str(archive))
        save_parameters(descriptor.parameters, parameters)
        exported = torchml.export_model(
            archive,
            descriptor=parameters,
            name="Validation_Descriptor",
            output=self.folder,
            overwrite=True,
        )
        return [str(exported.folder)]

    def mace(self) -> list[str]:
        """A small MACE with random weights and a repulsion of nuclei."""
        import mace_model

        path = self.folder / "mace.model"
        torch.save(mace_model.small_mace(CUTOFF), path)
        return [str(path), "--from", "mace"]

    def checkpoint(self) -> list[str]:
        """The network of trainings that name none (ACE), trained for seconds."""
        return [str(self._trained())]

    def compiled(self) -> list[str]:
        """The same, compiled ahead of time (.pt2)."""
        exported = torchml.export_model(
            self._trained(),
            format="aoti",
            name="Validation_Compiled",
            output=self.folder,
            overwrite=True,
        )
        return [str(exported.folder)]

    @cache  # noqa: B019 (one object makes all models)
    def _trained(self) -> Path:
        with silicon_data.inside_scratch():
            random = np.random.default_rng(0)
            native = silicon_data.find_native()
            structures = list(silicon_data.labelled(native, TRAINING, random))
        write(self.folder / "train.extxyz", structures)
        run = torchml.fit(
            data__train=str(self.folder / "train.extxyz"),
            trainer__max_epochs=EPOCHS,
            trainer__default_root_dir=str(self.folder / "run"),
            overwrite=True,
            seed_everything=1,
        )
        return run.best

    def _archive(self, model: EdgeModel, name: str, convention: str) -> str:
        path = self.folder / f"{name}.pt"
        metadata.save(script(model, convention), path, describe(model, convention))
        return str(path)


MODELS: tuple[str, ...] = (
    *("raw", "graph", "schnet", "tensornet", "descriptor", "mace", "checkpoint", "compiled"),
)


def main() -> int:
    """Examine the models; 0 if no check failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("validation"), metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=MODELS, metavar="NAME")
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--quick", action="store_true", help="as torchml check --quick")
    depth.add_argument("--full", action="store_true", help="as torchml check --full")
    options = parser.parse_args()
    words = ["--quick"] * options.quick + ["--full"] * options.full
    folder: Path = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # small systems are not faster with more
    return examine(Maker(folder), options.only, words)


def examine(maker: Maker, names: Sequence[str], words: Sequence[str]) -> int:
    """Check the models one after the other, and print which passed."""
    console = Console(highlight=False)
    table = Table(title="Examined models", title_justify="left", box=None)
    for column in ("model", "what", "verdict", "time", "page"):
        table.add_column(column, overflow="fold")
    failed = 0
    for name in names:
        make: Callable[[], list[str]] = getattr(maker, name)
        what = (make.__doc__ or "").strip()
        console.print(f"\n[bold]{name}[/]  {what}")
        begin = time.monotonic()
        page = maker.folder / f"{name}.html"
        files = ["--html", str(page), "--json", str(page.with_suffix(".json"))]
        # As a user does it: in a process of its own.
        status = subprocess.call(
            [sys.executable, "-m", "torchml", "check", *make(), *words, *files]
        )
        failed += status != 0
        verdict = "[bold red]FAIL[/]" if status else "[green]pass[/]"
        table.add_row(name, what, verdict, f"{time.monotonic() - begin:.0f} s", page.name)
    console.print(table)
    console.print(f"The pages are in {maker.folder}", soft_wrap=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
