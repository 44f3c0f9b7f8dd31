"""Measure steps of molecular dynamics of one network, run in several ways.

A SchNet with random weights (3 layers, 64 features, cutoff 4 Å) moves rattled silicon: NVE, from
the same positions. In LAMMPS through the KIM driver, as TorchScript and AOTInductor, in float64 and
float32, compressed, with and without folded ghosts, on several ranks and threads; in LAMMPS through
the original TorchML driver, if its collection is given (--original); and in ASE with
minimum-image edges, where there are no ghosts, by eager PyTorch and by AOTInductor.

All are run in turn, round after round. In LAMMPS a preloaded library records when the calls of the
driver, and of the model within it, begin and end. CPU time excludes other programs; ranks and
threads are compared by wall time. Each time is compared with the least time that the arithmetic of
the network takes on this machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import history
from common.options import parse_with_common_options
from common.programs import build
from common.reports import machine, progress_bar
from common.sheets import Sheet, write_markdown
from rich.console import Console
from steps.engine import Engine, engine_sheet, run_engine
from steps.figures import plot_ghosts, plot_step_times
from steps.limit import edges_of, limit_of, speeds
from steps.runs import CELLS, Case, Times, run_case, silicon
from steps.tables import builds_sheet, sheets
from steps.variants import VARIANTS, Models

from torchml import TorchMLError

ROUNDS = 2
ATOMS = (64, 216, 1000, 8000)
LAYOUTS = ("2x1", "1x2", "2x2")
ENGINE = ("ts64", "cts64")  # variants whose engine is also timed alone
ENGINE_ATOMS = 1000  # at most
SCALING = ("ts64", "cts64", "cts64-ghosts")
# Only on request: they add little to the others.
RARE = {"ase-eager32", "ts32-ghosts", "aoti32-ghosts", "caoti64-ghosts", "cts32-ghosts"}
RARE |= {"aoti64-ghosts", "caoti32-ghosts"}
LARGEST = {"original": 8000, "ase": 8000}  # slow, or without need of more
LARGEST_PLAIN = 27000  # of TorchScript that is not compressed, which takes much memory
HISTORY = "driver.json"


def main() -> int:
    """Run the benchmark; 0 unless something fails. Targets are shown, not enforced."""
    options = parse_options()
    console = Console(width=120)
    cases = wanted(options)
    results: dict[Case, Times] = {}
    earlier: dict[Case, Times] = {}
    failures: dict[Case, str] = {}
    engines = [
        Engine(key, atoms)
        for atoms in options.atoms
        for key in ENGINE
        if key in options.variants and atoms <= ENGINE_ATOMS
    ]
    try:
        with progress_bar(console) as progress, tempfile.TemporaryDirectory() as scratch:
            task = progress.add_task("compiling", total=len(cases) * options.rounds)
            call_times = build("call_times", options.build)
            program = build("driver_benchmark", options.build) if engines else None
            models = Models(Path(scratch))
            speed = speeds()
            for _ in range(options.rounds):
                for case in cases:
                    variant = VARIANTS[case.variant]
                    progress.update(
                        task, description=f"{variant.name}, {case.atoms} atoms, {case.layout}"
                    )
                    if case not in failures:
                        try:
                            arguments = (variant, models, call_times, options.original)
                            times = run_case(case, *arguments, options.seconds)
                            results.setdefault(case, Times()).add(times)
                            if options.earlier and variant.program == "ours":
                                times = run_case(case, *arguments, options.seconds, options.earlier)
                                earlier.setdefault(case, Times()).add(times)
                        except TorchMLError as error:
                            failures[case] = str(error)
                    progress.advance(task)
                for engine in engines:
                    name = VARIANTS[engine.variant].name
                    progress.update(task, description=f"{name}, {engine.atoms} atoms, engine alone")
                    if program and Case(engine.variant, engine.atoms) in results:
                        run_engine(engine, models, program, options.seconds)
        check_energies(results)
    except TorchMLError as error:
        print(f"driver.py: {error}", file=sys.stderr)
        return 1
    edges = {atoms: edges_of(silicon(atoms)) for atoms in {case.atoms for case in results}}
    limits = {
        (case.variant, case.atoms): limit_of(
            VARIANTS[case.variant],
            case.atoms,
            edges[case.atoms],
            speed[VARIANTS[case.variant].dtype],
        )
        for case in results
    }
    tables = [*sheets(results, limits), builds_sheet(results, earlier), engine_sheet(engines)]
    report(console, options, [t for t in tables if t.rows], reasons(failures))
    figures = options.figures or options.output
    plot_step_times(results, limits, figures / "step_times.png")
    plot_ghosts(results, figures / "ghosts.png")
    record = {
        "speed": {name: vars(value) for name, value in speed.items()},
        "edges": {str(atoms): count for atoms, count in edges.items()},
        "left_out": reasons(failures),
        "earlier": [{**vars(case), **times.summary()} for case, times in earlier.items()],
        "cases": [
            {**vars(case), **times.summary(), "limit": vars(limits[case.variant, case.atoms])}
            for case, times in results.items()
        ],
        "engine": [engine.summary() for engine in engines if engine.evaluations],
    }
    history.append(record, options.output / HISTORY)
    console.print(f"Added to {options.output / HISTORY}")
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--atoms",
        type=int,
        nargs="+",
        choices=CELLS,
        default=list(ATOMS),
        help="sizes on one core, out of %(choices)s (default: %(default)s)",
        metavar="N",
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        default=[key for key in VARIANTS if key not in RARE],
        help="variants on one core, out of %(choices)s (default: most)",
        metavar="NAME",
    )
    parser.add_argument(
        "--layouts",
        nargs="*",
        default=list(LAYOUTS),
        help="RANKSxTHREADS besides 1x1 (default: %(default)s)",
        metavar="RxT",
    )
    parser.add_argument(
        "--scaling",
        nargs="*",
        choices=VARIANTS,
        default=list(SCALING),
        help="variants for the layouts (default: %(default)s)",
        metavar="NAME",
    )
    parser.add_argument(
        "--scaling-atoms",
        type=int,
        nargs="+",
        choices=CELLS,
        default=[8000, 64000],
        help="sizes for the layouts (default: %(default)s)",
        metavar="N",
    )
    parser.add_argument(
        "--original",
        type=Path,
        help="folder with the original driver, as in KIM_API_MODEL_DRIVERS_DIR",
        metavar="DIR",
    )
    parser.add_argument(
        "--earlier",
        type=Path,
        help="folder with an earlier build of this driver, which takes the same steps in turn",
        metavar="DIR",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.7,
        help="approximate duration of the steps of a case in a round (default: %(default)s)",
    )
    parser.add_argument(
        "--markdown",
        type=Path,
        help="also write the tables to this file, between its marks if it has them",
        metavar="FILE",
    )
    parser.add_argument("--figures", type=Path, help="folder for the figures", metavar="DIR")
    options = parse_with_common_options(parser, rounds=ROUNDS, result=HISTORY)
    for layout in options.layouts:
        numbers = layout.split("x")
        if len(numbers) != 2 or not all(n.isdigit() and int(n) > 0 for n in numbers):
            parser.error(f"--layouts: '{layout}' is none, expected RANKSxTHREADS such as 2x1")
    for name in ("original", "earlier"):
        folder = getattr(options, name)
        if folder is not None and not folder.is_dir():
            parser.error(f"--{name}: {folder} is no folder")
    return options


def wanted(options: argparse.Namespace) -> list[Case]:
    """The cases, smaller systems first."""
    cases = [Case(key, atoms) for atoms in options.atoms for key in options.variants]
    for atoms in options.scaling_atoms:
        for key in options.scaling:
            cases.append(Case(key, atoms))
            cases += [Case(key, atoms, *map(int, name.split("x"))) for name in options.layouts]
    return [case for case in dict.fromkeys(cases) if case.atoms <= largest(case.variant)]


def largest(key: str) -> int:
    """Return the largest number of atoms."""
    variant = VARIANTS[key]
    most = LARGEST.get(variant.program, max(CELLS))
    plain = variant.model.format == "torchscript" and not variant.compressed
    return min(most, LARGEST_PLAIN) if plain else most


def check_energies(results: dict[Case, Times]) -> None:
    """Check that all run the same network, up to the errors of splines and float32."""
    for atoms in {case.atoms for case in results}:
        energies = {case: t.energy / atoms for case, t in results.items() if case.atoms == atoms}
        exact = [e for case, e in energies.items() if is_exact(case)]
        middle = float(np.median(exact or list(energies.values())))
        for case, energy in energies.items():
            if not abs(energy - middle) < (1e-9 if is_exact(case) else 1e-5):
                raise TorchMLError(
                    f"the energy of {VARIANTS[case.variant].name} at {atoms} atoms is {energy} eV "
                    f"per atom, expected {middle} as of the others"
                )


def is_exact(case: Case) -> bool:
    """Whether the variant has neither float32 nor splines."""
    variant = VARIANTS[case.variant]
    return variant.dtype == "float64" and not variant.compressed


def reasons(failures: dict[Case, str]) -> dict[str, str]:
    """Return the reasons why variants were left out, each with its cases."""
    cases: dict[tuple[str, str], list[str]] = {}
    for case, reason in failures.items():
        where = f"{case.atoms} ({case.layout})"
        cases.setdefault((VARIANTS[case.variant].name, reason), []).append(where)
    return {f"{name}, {', '.join(where)}": reason for (name, reason), where in cases.items()}


def report(
    console: Console, options: argparse.Namespace, tables: list[Sheet], left_out: dict[str, str]
) -> None:
    """Tables, and what was left out."""
    for sheet in tables:
        console.print(sheet.table())
        console.print("")
    for name, reason in left_out.items():
        console.print(f"Left out: {name}: {reason}")
    if options.markdown:
        here = machine()
        head = (
            f"{here['processor']}, {here['cores']} cores, load {here['load']}, "
            f"{here['time'][:10]}, commit {history.commit()}, {options.rounds} rounds."
        )
        write_markdown(head, tables, options.markdown)
        console.print(f"Tables in Markdown: {options.markdown}")


if __name__ == "__main__":
    sys.exit(main())
