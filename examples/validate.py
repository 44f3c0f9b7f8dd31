"""Examine models of each kind with `torchml check`: what `make validate` runs.

    python examples/validate.py [--output validation] [--only NAME ...] [--quick]

makes small models (handwritten physics, a TensorNet and a MACE with random weights, and what is
trained here within seconds: SchNet, a network on descriptors, a checkpoint, a compiled archive),
examines each through all interfaces, and writes a page and a JSON file of each. The exit status is
0 if no check failed. docs/validation.md explains each line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import silicon_data
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.kim import KIM
from ase.io import write
from rich.console import Console
from rich.table import Table

import torchml
from torchml.contract import metadata
from torchml.export.compression import compress
from torchml.importers.opening import load
from torchml.models import EdgeModel, Scaled, StillingerWeber, TensorNet, describe, script

CUTOFF = 4.0  # Å
EPOCHS = {"run": 20, "schnet": 30, "descriptor": 60}
TRAINING = silicon_data.Size(snapshots=4, strained=10)
# Crystals in which a network that knows diamond alone may find a false minimum of the energy.
LATTICES = {"fcc": 2**0.5, "bcc": 0.75**-0.5, "diamond": 4 / 3**0.5}  # lattice constant / bond
BONDS = np.linspace(2.2, 3.3, 12)  # Å
RATTLED = 0.05  # Å


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
        """A SchNet of three layers, trained for seconds."""
        arguments = {"layers": 3, "features": 16, "gaussians": 16}
        trained = load(self._trained("schnet", "SchNet", arguments)).model
        assert isinstance(trained, EdgeModel)
        return [self._archive(trained, "schnet", "edges")]

    def tensornet(self) -> list[str]:
        """A TensorNet with random weights, its functions of distances as splines."""
        torch.manual_seed(2)
        network = TensorNet(["Si"], cutoff=CUTOFF, features=8)
        return [self._archive(compress(Scaled(network)).model, "tensornet_compressed", "edges")]

    def descriptor(self) -> list[str]:
        """A network on symmetry functions, trained for seconds."""
        exported = torchml.export_model(
            self._trained("descriptor", "DescriptorPotential", {"hidden": [16, 16]}),
            format="torchscript",
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
        return [str(self._default())]

    def compiled(self) -> list[str]:
        """The same, compiled ahead of time (.pt2)."""
        exported = torchml.export_model(
            self._default(),
            format="aoti",
            name="Validation_Compiled",
            output=self.folder,
            overwrite=True,
        )
        return [str(exported.folder)]

    @cache  # noqa: B019 (one object makes all models)
    def _default(self) -> Path:
        return self._trained("run")

    def _trained(
        self, name: str, network: str | None = None, arguments: dict[str, Any] | None = None
    ) -> Path:
        """The checkpoint of a training in the folder `name`; without a network, of ACE."""
        settings: dict[str, Any] = {}
        if network is not None:
            settings["model"] = {
                "model": {"class_path": network, "init_args": arguments},
                "optimizer": {"class_path": "AdamW", "init_args": {"lr": 0.01}},
            }
        run = torchml.fit(
            settings,
            data__train=str(self._data()),
            trainer__max_epochs=EPOCHS[name],
            trainer__default_root_dir=str(self.folder / name),
            overwrite=True,
            seed_everything=1,
        )
        return run.best

    @cache  # noqa: B019
    def _data(self) -> Path:
        """Snapshots of diamond, strained diamond, and three kinds of crystals."""
        with silicon_data.inside_scratch():
            random = np.random.default_rng(0)
            native = silicon_data.find_native()
            structures = list(silicon_data.labelled(native, TRAINING, random))
            structures += crystals(KIM(native), random)
        path = self.folder / "train.extxyz"
        write(path, structures)
        return path

    def _archive(self, model: EdgeModel, name: str, convention: str) -> str:
        path = self.folder / f"{name}.pt"
        metadata.save(script(model, convention), path, describe(model, convention))
        return str(path)


def crystals(calculator: KIM, random: np.random.Generator) -> Iterator[Atoms]:
    """Rattled cells of 8 atoms with labels, from dense to wide."""
    for lattice, ratio in LATTICES.items():
        for bond in BONDS:
            atoms = bulk("Si", lattice, a=bond * ratio, cubic=True)
            atoms *= (1, 1, 8 // len(atoms))
            atoms.positions += random.normal(0.0, RATTLED, atoms.positions.shape)
            atoms.calc = calculator
            yield silicon_data.with_labels(atoms, lattice)


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
