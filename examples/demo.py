"""From structures to LAMMPS: data, training, export, simulation.

    python examples/demo.py [--output demo-output]

OpenKIM's Stillinger-Weber model labels structures of silicon; an ACE learns from them as
configured in demo.yaml; its best checkpoint becomes a KIM portable model, which is installed into
the KIM collection of the environment and runs in LAMMPS on one and two MPI ranks. Because the
labels come from a potential, the errors of the trained model are known exactly, and its dynamics
can be compared. A table and the exit status show whether all numbers are within their limits;
demo-output/demo.png shows the results.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import demo_figure
import silicon_data
import torch
from nve import Run, relative, run
from parity import Parity, predict
from rich.console import Console
from rich.table import Table

from torchml import TorchMLError
from torchml.export import Export, export

CONFIGURATION = Path(__file__).with_name("demo.yaml")
NAME = "Demo_ACE_Si"
CELLS, STEPS = 3, 400  # 216 atoms, 0.4 ps

# Limits for the exported model. Errors are on structures outside the training data; their forces
# are 1.2 eV/Å on average.
ENERGY_ERROR = 0.001  # eV/atom
FORCES_ERROR = 0.03  # eV/Å
# Fluctuation of the total energy over that of the potential energy, and its slope.
CONSERVED = 1e-2
DRIFT = 1e-4  # eV per atom and ps
# Between one and two ranks, of step 0.
RANKS = 1e-9


@dataclass(frozen=True)
class Figure:
    """A number and its limit."""

    what: str
    value: float
    limit: float
    unit: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is a number within the limit."""
        return self.value <= self.limit


def main() -> int:
    """Run the demonstration; 0 when everything is within its limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo-output"), metavar="FOLDER")
    output: Path = parser.parse_args().output
    console = Console(highlight=False)
    started = time.perf_counter()
    try:
        silicon_data.check_environment()
        best = train(console, output)
        model = install(console, best, output)
        with working(console, "energies and forces of unseen structures"):
            parity = predict(output / model, output / "silicon" / "test.extxyz")
        runs = simulate(console, model)
    except TorchMLError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    console.print("")
    console.print(errors_table(parity))
    figures = judge(parity, runs)
    console.print("")
    console.print(figures_table(figures))
    picture = output / "demo.png"
    demo_figure.draw(parity, runs, output / "run", picture)
    return close(console, figures, picture, best, model, time.perf_counter() - started)


def train(console: Console, output: Path) -> Path:
    """Make the data and train; return the best checkpoint."""
    heading(console, "Silicon to learn from", "OpenKIM's Stillinger-Weber model, 300 to 1500 K")
    with working(console, "molecular dynamics"):
        train_file, test_file = silicon_data.generate(output / "silicon")
    console.print(f"  {train_file} and {test_file.name}")

    heading(console, "Training", f"torchml fit --config {CONFIGURATION}")
    # Threads help little with small batches, and slow down where cores are shared.
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    # Lightning takes seconds to import.
    from torchml.training import fit

    result = fit(
        CONFIGURATION,
        data__train=str(train_file),
        trainer__default_root_dir=str(output / "run"),
        trainer__callbacks=[{"class_path": "training_bar.TrainingBar"}],
        overwrite=True,
    )
    forget_bar(result.folder / "config.yaml")
    return result.best


def forget_bar(configuration: Path) -> None:
    """Remove the bar from the configuration: it can be imported from this folder only."""
    lines = configuration.read_text().splitlines()
    start = lines.index("  callbacks:")
    lines[start : start + 2] = ["  callbacks: null"]
    temporary = configuration.with_name(".config.yaml")
    temporary.write_text("\n".join([*lines, ""]))
    os.replace(temporary, configuration)


def install(console: Console, best: Path, output: Path) -> str:
    """Export the checkpoint into the environment's KIM collection; return the model's KIM name."""
    heading(console, "To every simulator", f"python -m torchml_export {best} --install environment")
    with working(console, "checking and installing"):
        order = Export(best, NAME, output=output, collection="environment", overwrite=True)
        result = export(order)
    if result.folder is None:
        failed = next(check for check in result.checks if check.verdict == "fail")
        raise TorchMLError(f"the export failed: {failed.name}: {failed.detail}")
    passed = sum(check.verdict == "pass" for check in result.checks)
    console.print(f"  {result.folder.name}, {passed} checks passed")
    return result.folder.name


def simulate(console: Console, model: str) -> dict[str, Run]:
    """Run NVE in LAMMPS: OpenKIM's own model, and the trained one on one and two ranks."""
    heading(console, "LAMMPS", f"in.nve, {8 * CELLS**3} atoms, {STEPS} steps of 1 fs")
    # Threads do not help with a few hundred atoms, and slow down where cores are shared.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    native = silicon_data.find_native()
    runs: dict[str, Run] = {}
    for name, which, ranks in (
        ("OpenKIM", native, 1),
        ("1 rank", model, 1),
        ("2 ranks", model, 2),
    ):
        with working(console, f"{which}, {ranks} rank{'s' * (ranks > 1)}"):
            runs[name] = run(which, CELLS, STEPS, ranks)
        milliseconds = 1000 * runs[name].seconds / STEPS
        console.print(f"  {name:8} {runs[name].seconds:5.1f} s  {milliseconds:6.2f} ms/step")
    return runs


def judge(parity: Parity, runs: dict[str, Run]) -> list[Figure]:
    """Return all numbers that have a limit."""
    one, two = runs["1 rank"], runs["2 ranks"]
    energy, forces = parity.errors()
    return [
        Figure("energy error, test structures", 1000 * energy, 1000 * ENERGY_ERROR, "meV/atom"),
        Figure("force error, test structures", forces, FORCES_ERROR, "eV/Å"),
        Figure("NVE: fluctuation, total over potential", one.fluctuation, CONSERVED),
        Figure("NVE: drift of the total energy", abs(one.drift), DRIFT, "eV/atom/ps"),
        Figure("2 ranks against 1: energy", relative(two.potential[0], one.potential[0]), RANKS),
        Figure("2 ranks against 1: forces", relative(two.forces, one.forces), RANKS),
    ]


@contextmanager
def working(console: Console, what: str) -> Iterator[None]:
    """Show a spinner on a terminal."""
    with warnings.catch_warnings(), console.status(f"{what} ..."):
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def heading(console: Console, what: str, how: str) -> None:
    """Print the next step, and its command."""
    console.print(f"\n[bold]{what}[/]  [dim]{how}[/]", soft_wrap=True)


def errors_table(parity: Parity) -> Table:
    """Return a table of errors by kind of structure."""
    table = new_table("Mean errors on unseen structures", "structures")
    for column in ("number", "energy, meV/atom", "forces, eV/Å"):
        table.add_column(column, justify="right")
    for group in (*dict.fromkeys(parity.groups.tolist()), None):
        energy, forces = parity.errors(group)
        number = len(parity.groups) if group is None else int((parity.groups == group).sum())
        style = "bold" if group is None else None
        row = (group or "all", str(number), f"{1000 * energy:.2f}", f"{forces:.4f}")
        table.add_row(*row, style=style)
    return table


def figures_table(figures: list[Figure]) -> Table:
    """Return a table of numbers and limits."""
    table = new_table("Within limits?", "")
    for column in ("value", "limit"):
        table.add_column(column, justify="right")
    table.add_column("")
    table.add_column("")
    for figure in figures:
        verdict = "[green]yes[/]" if figure.passed else "[bold red]NO[/]"
        numbers = f"{figure.value:.2g}", f"{figure.limit:.2g}"
        table.add_row(figure.what, *numbers, figure.unit, verdict)
    return table


def new_table(title: str, first: str) -> Table:
    """Return an empty table that fits 80 columns."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    return table


def close(
    console: Console,
    figures: list[Figure],
    picture: Path,
    best: Path,
    model: str,
    seconds: float,
) -> int:
    """Print the last lines; return the exit status."""
    failed = [figure for figure in figures if not figure.passed]
    if failed:
        console.print(f"\n[bold red]{len(failed)} of {len(figures)} exceed their limits.[/]")
    else:
        console.print(f"\n[bold green]From structures to LAMMPS in {seconds / 60:.1f} minutes.[/]")
    console.print(
        f"""
{picture}
    errors, learning curve, and energies in NVE, as a picture
{best}
    the model: for Python, for more training, and for every export
{model}
    the model in LAMMPS (kim init, pair_style kim), ASE and others

What next:
    torchml validate {best}
    torchml test --config {best.parents[1]}/config.yaml --data.test YOUR.extxyz
    torchml fit --data.train YOUR.extxyz --trainer.default_root_dir run""",
        soft_wrap=True,
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
