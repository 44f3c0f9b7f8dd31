"""Stillinger-Weber silicon written in PyTorch, beside OpenKIM's native one, in LAMMPS.

    python examples/demo.py [--output demo-output]

exports the potential in two calling conventions and a SchNet with random weights, installs them
into the KIM collection of the environment, and runs them and OpenKIM's own Stillinger-Weber model
from one input script, in.compare, on one and two MPI ranks. A table says how well they agree,
demo-output/compare.png shows it, and the exit status is 0 if everything does.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from torchml import TorchMLError, metadata
from torchml.export import Export, export
from torchml.models import EdgeModel, SchNet, StillingerWeber, describe, script
from torchml.validation.lammps import run_lammps

INPUT = Path(__file__).with_name("in.compare")
NATIVE = r"SW_StillingerWeber_1985_Si__MO_405512056662_\d{3}"

STEP_0 = 1e-8  # relative, of energy, forces and pressure
RANKS = 1e-10  # relative, one rank against two, at step 0
TRAJECTORY = 1e-6  # relative, of the potential energy over the whole run
CONSERVED = 2e-2  # fluctuation of the total energy over that of the potential energy
TIMESTEP = 1e-3  # ps, as in in.compare


@dataclass(frozen=True)
class Run:
    """What one LAMMPS run wrote.

    times [T], ps; potential, total [T], eV; pressure [T], bar; forces [N, 3] of step 0, eV/Å, the
    atoms sorted by position; seconds of wall time.
    """

    times: NDArray[np.float64]
    potential: NDArray[np.float64]
    total: NDArray[np.float64]
    pressure: NDArray[np.float64]
    forces: NDArray[np.float64]
    seconds: float

    @property
    def atoms(self) -> int:
        """Number of atoms."""
        return len(self.forces)

    @property
    def drift(self) -> float:
        """Slope of the total energy, eV per atom and ps."""
        return float(np.polyfit(self.times, self.total, 1)[0]) / self.atoms


@dataclass(frozen=True)
class Verdict:
    """A line of the table."""

    what: str
    figure: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether the figure is a number within what is allowed."""
        return bool(self.figure <= self.allowed)


def main() -> int:
    """Run the demonstration; 0 when everything agrees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo-output"), metavar="FOLDER")
    output: Path = parser.parse_args().output
    console = Console()
    try:
        runs = simulate(console)
    except TorchMLError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    verdicts = judge(runs)
    console.print(runs_table(runs))
    console.print(verdict_table(verdicts))
    output.mkdir(parents=True, exist_ok=True)
    picture = output / "compare.png"
    draw(runs, picture)
    console.print(f"The same as a picture: {picture}")
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if failed:
        console.print(f"[bold red]{len(failed)} of {len(verdicts)} comparisons failed.[/]")
    return 1 if failed else 0


def simulate(console: Console) -> dict[str, dict[int, Run]]:
    """Export, install and run everything: by the name of the model, by ranks."""
    if not os.environ.get("KIM_API_PORTABLE_MODELS_DIR"):
        raise TorchMLError(
            "KIM_API_PORTABLE_MODELS_DIR is not set, expected the collection to install into; "
            "'. env.sh' of the installation sets it"
        )
    native = find_native()
    torch.manual_seed(2018)
    schnet = SchNet(["Si"], cutoff=4.0, layers=3)
    ours: list[tuple[str, EdgeModel, str]] = [
        ("Stillinger-Weber, graph", StillingerWeber(), "graph"),
        ("Stillinger-Weber, none", StillingerWeber(), "none"),
        ("SchNet, graph", schnet, "graph"),
        ("SchNet, edges", schnet, "edges"),
    ]
    runs: dict[str, dict[int, Run]] = {}
    with (
        Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        ) as progress,
        tempfile.TemporaryDirectory() as scratch,
    ):
        task = progress.add_task("", total=3 * len(ours) + 2)

        @contextmanager
        def step(what: str) -> Iterator[None]:
            progress.update(task, description=what)
            yield
            progress.advance(task)

        models = {"Stillinger-Weber, OpenKIM": (native, 3, 300)}
        for name, model, convention in ours:
            with step(f"exporting and installing {name}"):
                installed = install(name, model, convention, Path(scratch))
            size = (2, 100) if model is schnet else (3, 300)
            models[name] = (installed, *size)
        for name, (model, cells, steps) in models.items():
            runs[name] = {}
            for ranks in (1, 2):
                with step(f"LAMMPS: {name}, {ranks} rank{'s' * (ranks > 1)}"):
                    runs[name][ranks] = run(model, cells, steps, ranks)
    return runs


def find_native() -> str:
    """The installed version of OpenKIM's Stillinger-Weber model."""
    with tempfile.TemporaryDirectory() as scratch:  # KIM-API leaves a log
        listed = subprocess.run(
            ["kim-api-collections-management", "list"],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
    found = sorted(set(re.findall(NATIVE, listed.stdout)))
    if not found:
        raise TorchMLError(
            "OpenKIM's SW_StillingerWeber_1985_Si__MO_405512056662 is not installed, expected it "
            "from the system's package openkim-models"
        )
    return found[-1]


def install(name: str, model: EdgeModel, convention: str, folder: Path) -> str:
    """Export a model and install it into the environment's KIM collection; its KIM name."""
    archive = folder / f"{convention}.pt"
    metadata.save(script(model, convention), archive, describe(model, convention))
    result = export(
        Export(
            model=archive,
            name="_".join(["Demo", *re.findall(r"\w+", name)]),
            output=folder,
            collection="environment",
            overwrite=True,
        )
    )
    if result.folder is None:
        failed = next(check for check in result.checks if check.verdict == "fail")
        raise TorchMLError(f"the export of {name} failed: {failed.name}: {failed.detail}")
    return result.folder.name


def run(model: str, cells: int, steps: int, ranks: int) -> Run:
    """The input script with one model."""
    variables = {"model": model, "cells": str(cells), "steps": str(steps)}
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        run_lammps(INPUT.read_text(), Path(scratch), ranks, variables)
        seconds = time.perf_counter() - start
        steps_, potential, total, pressure = np.loadtxt(Path(scratch) / "energies.txt").T
        first = (Path(scratch) / "forces.txt").read_text().split("ITEM: TIMESTEP")[1]
        atoms = np.loadtxt(first.split("ITEM: ATOMS")[1].splitlines()[1:])
    # Ranks number their atoms differently, but put them at the same places.
    atoms = atoms[np.lexsort(atoms[:, 1:4].round(6).T)]
    return Run(steps_ * TIMESTEP, potential, total, pressure, atoms[:, 4:7], seconds)


def relative(values: NDArray[np.float64] | float, expected: NDArray[np.float64] | float) -> float:
    """Largest difference over the largest expected value."""
    return float(np.abs(np.subtract(values, expected)).max() / np.abs(expected).max())


def judge(runs: dict[str, dict[int, Run]]) -> list[Verdict]:
    """All that must agree."""
    verdicts = []
    native = runs["Stillinger-Weber, OpenKIM"][1]
    for name, by_ranks in runs.items():
        one, two = by_ranks[1], by_ranks[2]
        if "Stillinger" in name and by_ranks[1] is not native:
            for ranks, ours in by_ranks.items():
                on = f"{name}, {ranks} rank{'s' * (ranks > 1)} vs OpenKIM"
                verdicts += [
                    Verdict(
                        f"{on}: energy", relative(ours.potential[0], native.potential[0]), STEP_0
                    ),
                    Verdict(f"{on}: forces", relative(ours.forces, native.forces), STEP_0),
                    Verdict(
                        f"{on}: pressure", relative(ours.pressure[0], native.pressure[0]), STEP_0
                    ),
                    Verdict(
                        f"{on}: trajectory", relative(ours.potential, native.potential), TRAJECTORY
                    ),
                    Verdict(
                        f"{on}: drift of the total energy",
                        abs(ours.drift - native.drift) * native.atoms / np.ptp(native.total),
                        TRAJECTORY * 1e3,
                    ),
                ]
        if "SchNet" in name:
            verdicts += [
                Verdict(
                    f"{name}, 1 vs 2 ranks: energy",
                    relative(two.potential[0], one.potential[0]),
                    RANKS,
                ),
                Verdict(f"{name}, 1 vs 2 ranks: forces", relative(two.forces, one.forces), RANKS),
                Verdict(
                    f"{name}, 1 vs 2 ranks: trajectory",
                    relative(two.potential, one.potential),
                    TRAJECTORY,
                ),
            ]
        conserved = float(one.total.std() / one.potential.std())
        verdicts.append(Verdict(f"{name}: total energy conserved", conserved, CONSERVED))
    graph, edges = runs["SchNet, graph"][1], runs["SchNet, edges"][1]
    verdicts.append(
        Verdict("SchNet, graph vs edges: forces", relative(graph.forces, edges.forces), RANKS)
    )
    return verdicts


def runs_table(runs: dict[str, dict[int, Run]]) -> Table:
    """What was run, with the numbers of step 0."""
    table = Table(title="LAMMPS, from the input script in.compare", title_justify="left")
    for column in (
        "model",
        "ranks",
        "atoms",
        "energy (eV)",
        "pressure (bar)",
        "drift (eV/atom/ps)",
        "s",
    ):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, by_ranks in runs.items():
        for ranks, one in by_ranks.items():
            table.add_row(
                name,
                str(ranks),
                str(one.atoms),
                f"{one.potential[0]:.9f}",
                f"{one.pressure[0]:.6f}",
                f"{one.drift:+.2e}",
                f"{one.seconds:.1f}",
            )
    return table


def verdict_table(verdicts: list[Verdict]) -> Table:
    """The comparisons."""
    table = Table(title="Relative differences", title_justify="left")
    table.add_column("comparison")
    table.add_column("found", justify="right")
    table.add_column("allowed", justify="right")
    table.add_column("verdict")
    for verdict in verdicts:
        word = "[green]agrees[/]" if verdict.passed else "[bold red]DISAGREES[/]"
        table.add_row(verdict.what, f"{verdict.figure:.1e}", f"{verdict.allowed:.0e}", word)
    return table


def draw(runs: dict[str, dict[int, Run]], path: Path) -> None:
    """Energies over time, their difference, and the forces of step 0."""
    native = runs["Stillinger-Weber, OpenKIM"][1]
    ours = {
        f"{name.removeprefix('Stillinger-Weber, ')}, {ranks} rank{'s' * (ranks > 1)}": one
        for name, by_ranks in runs.items()
        if name.startswith("Stillinger") and by_ranks[1] is not native
        for ranks, one in by_ranks.items()
    }
    styles = ["-", "--", "-.", ":"]
    figure, (energy, gap, parity) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")

    for quantity, color in (("potential", "tab:blue"), ("total", "tab:orange")):
        values = getattr(native, quantity) / native.atoms
        energy.plot(
            native.times, values, color=color, lw=5, alpha=0.3, label=f"{quantity}, OpenKIM"
        )
        some = next(iter(ours.values()))
        energy.plot(
            some.times,
            getattr(some, quantity) / some.atoms,
            color=color,
            lw=1,
            label=f"{quantity}, ours",
        )
    energy.set(
        xlabel="time (ps)", ylabel="energy (eV/atom)", title=f"NVE, {native.atoms} atoms, 300 K"
    )
    energy.legend()

    for (name, one), style in zip(ours.items(), styles, strict=False):
        difference = np.abs(one.potential - native.potential) / np.abs(native.potential)
        gap.semilogy(one.times, np.maximum(difference, 1e-17), style, lw=1.2, label=name)
    gap.axhline(TRAJECTORY, color="tab:red", lw=1, label="allowed")
    gap.set(
        xlabel="time (ps)", ylabel="relative difference", title="Potential energy: ours - OpenKIM"
    )
    gap.legend()

    span = [native.forces.min(), native.forces.max()]
    parity.plot(span, span, color="0.7", lw=1)
    for (name, one), marker in zip(ours.items(), "o+x.", strict=False):
        worst = relative(one.forces, native.forces)
        label = f"{name}: max. difference {worst:.0e}"
        face = {"markerfacecolor": "none"} if marker == "o" else {}
        parity.plot(
            native.forces.ravel(), one.forces.ravel(), marker, ms=5, ls="none", label=label, **face
        )
    parity.set(
        xlabel="OpenKIM (eV/Å)", ylabel="ours (eV/Å)", title="Forces of step 0", aspect="equal"
    )
    parity.legend(fontsize="small")

    figure.suptitle(
        "Stillinger-Weber silicon in LAMMPS: TorchScript through TorchML beside OpenKIM"
    )
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=130, format="png")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
