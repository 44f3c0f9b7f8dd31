"""Compare Stillinger-Weber silicon in PyTorch with OpenKIM's native model in LAMMPS.

    python examples/compare.py [--output demo-output]

exports the potential in two calling conventions and a SchNet with random weights, installs them
into the KIM collection of the environment, and runs them and OpenKIM's own Stillinger-Weber model
from one input script, in.nve, on one and two MPI ranks. A table and demo-output/compare.png show
the differences; the exit status is 0 if all are within their limits.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from nve import Run, called, relative, run
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from silicon_data import check_environment, find_native

from torchml import TorchMLError
from torchml.contract import metadata
from torchml.export import Export, export
from torchml.models import EdgeModel, SchNet, StillingerWeber, describe, script

OPENKIM = "OpenKIM"

# Relative differences allowed: of step 0 against OpenKIM, between numbers of ranks or conventions,
# of the potential energy over a whole run, and of the drifts of the total energy.
AGAINST_OPENKIM = 1e-8
AMONG_OURS = 1e-10
WHOLE_PATH = 1e-6
DRIFT = 1e-3
# Fluctuation of the total energy over that of the potential energy, due to the integrator.
CONSERVED = 1e-2


@dataclass(frozen=True)
class Figure:
    """A number and its upper limit."""

    value: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether it is a number within the limit."""
        return self.value <= self.limit


Comparisons = dict[tuple[str, str], dict[str, Figure]]


def main() -> int:
    """Run the demonstration; 0 when everything agrees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo-output"), metavar="FOLDER")
    output: Path = parser.parse_args().output
    console = Console()
    try:
        runs = simulate(console)
    except TorchMLError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    comparisons = compare_all(runs)
    console.print(runs_table(runs))
    console.print("")
    console.print(comparisons_table(comparisons))
    output.mkdir(parents=True, exist_ok=True)
    picture = output / "compare.png"
    draw(runs, picture)
    console.print(f"The same as a picture: {picture}")
    figures = [figure for row in comparisons.values() for figure in row.values()]
    failed = sum(not figure.passed for figure in figures)
    if failed:
        console.print(f"[bold red]{failed} of {len(figures)} figures exceed their limits.[/]")
    return 1 if failed else 0


def simulate(console: Console) -> dict[str, dict[int, Run]]:
    """Export, install and run all models; return runs by model and number of ranks."""
    check_environment()
    # A few hundred atoms are not faster with threads, and slower on shared cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    native = find_native()
    torch.manual_seed(2018)
    schnet = SchNet(["Si"], cutoff=4.0, layers=3, features=32)
    ours: list[tuple[str, EdgeModel, str]] = [
        ("SW graph", StillingerWeber(), "graph"),
        ("SW raw", StillingerWeber(), "raw"),
        ("SchNet graph", schnet, "graph"),
        ("SchNet edges", schnet, "edges"),
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

        models = {OPENKIM: (native, 4, 500)}
        for name, model, convention in ours:
            with step(f"exporting and installing {name}"):
                installed = install(name, model, convention, Path(scratch))
            size = (2, 100) if model is schnet else (4, 500)
            models[name] = (installed, *size)
        for name, (model, cells, steps) in models.items():
            runs[name] = {}
            for ranks in (1, 2):
                with step(f"LAMMPS: {called(name, ranks)}"):
                    runs[name][ranks] = run(model, cells, steps, ranks)
    return runs


def install(name: str, model: EdgeModel, convention: str, folder: Path) -> str:
    """Export a model, install it into the environment's KIM collection, return its KIM name."""
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


def compare(ours: Run, other: Run, limit: float) -> dict[str, Figure]:
    """Differences of step 0 and of the trajectories."""
    # Drifts are slopes; during the run they change the energy less than its fluctuations.
    lasting = np.ptp(ours.times) * ours.atoms / np.ptp(other.potential)
    return {
        "energy": Figure(relative(ours.potential[0], other.potential[0]), limit),
        "forces": Figure(relative(ours.forces, other.forces), limit),
        "press.": Figure(relative(ours.pressure[0], other.pressure[0]), limit),
        "path": Figure(relative(ours.potential, other.potential), WHOLE_PATH),
        "drift": Figure(abs(ours.drift - other.drift) * lasting, DRIFT),
    }


def compare_all(runs: dict[str, dict[int, Run]]) -> Comparisons:
    """The pairs of runs that are compared, and their differences."""
    rows: Comparisons = {}
    for name, by_ranks in runs.items():
        for ranks, one in by_ranks.items():
            me = called(name, ranks)
            if name.startswith("SW"):
                rows[me, OPENKIM] = compare(one, runs[OPENKIM][1], AGAINST_OPENKIM)
            elif ranks > 1 and name != OPENKIM:
                rows[me, "1 rank"] = compare(one, by_ranks[1], AMONG_OURS)
    graph, edges = runs["SchNet graph"][1], runs["SchNet edges"][1]
    rows["SchNet edges", "graph"] = compare(edges, graph, AMONG_OURS)
    for name, by_ranks in runs.items():
        fluctuation = by_ranks[1].fluctuation
        rows[name, "itself"] = {"kept": Figure(fluctuation, CONSERVED)}
    return rows


def runs_table(runs: dict[str, dict[int, Run]]) -> Table:
    """Print the runs."""
    table = new_table("Runs of in.nve (* of the total energy, eV per atom and ps)", "model", "")
    for column in ("atoms", "steps", "energy/eV", "press./bar", "drift*", "s"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, by_ranks in runs.items():
        for ranks, one in by_ranks.items():
            table.add_row(
                name,
                f"{ranks} rank{'s' * (ranks > 1)}",
                str(one.atoms),
                str(len(one.times) - 1),
                f"{one.potential[0]:.7f}",
                f"{one.pressure[0]:.4f}",
                f"{one.drift:+.1e}",
                f"{one.seconds:.1f}",
            )
    return table


def comparisons_table(comparisons: Comparisons) -> Table:
    """Print relative differences and whether they are within their limits."""
    table = new_table("Relative differences (limits in the last rows)", "", "against")
    table.caption = (
        "energy, forces and pressure of step 0; path: potential energy of the whole run; drift: of "
        "the total energy; kept: fluctuation of the total energy"
    )
    columns = ("energy", "forces", "press.", "path", "drift", "kept")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)

    def cell(figure: Figure | None) -> str:
        if figure is None:
            return ""
        return f"{figure.value:.0e}" if figure.passed else f"[bold red]{figure.value:.0e}[/]"

    for (one, other), row in comparisons.items():
        good = all(figure.passed for figure in row.values())
        verdict = "[green]agrees[/]" if good else "[bold red]DIFFERS[/]"
        table.add_row(one, other, *[cell(row.get(column)) for column in columns], verdict)
    table.add_section()
    rest = f"{WHOLE_PATH:.0e}", f"{DRIFT:.0e}"
    table.add_row("limit", OPENKIM, *[f"{AGAINST_OPENKIM:.0e}"] * 3, *rest)
    table.add_row("limit", "our own", *[f"{AMONG_OURS:.0e}"] * 3, *rest)
    table.add_row("limit", "itself", *[""] * 5, f"{CONSERVED:.0e}")
    return table


def new_table(title: str, *columns: str) -> Table:
    """A table that fits 80 columns."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.caption_justify = "left"
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def draw(runs: dict[str, dict[int, Run]], path: Path) -> None:
    """Energies over time, their difference, and the forces of step 0."""
    native = runs[OPENKIM][1]
    ours = {
        called(name, ranks): one
        for name, by_ranks in runs.items()
        if name.startswith("SW")
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
        largest = np.maximum.accumulate(np.maximum(difference, 1e-17))
        gap.semilogy(one.times, largest, style, lw=1.5, label=name)
    gap.axhline(WHOLE_PATH, color="tab:red", lw=1, label="limit")
    gap.set(
        xlabel="time (ps)",
        ylabel="largest relative difference so far",
        title="Potential energy: ours - OpenKIM",
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
