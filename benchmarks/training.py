"""Measure the speed of training, its memory over epochs, and its cost over system size.

A SchNet (3 layers, 64 features, 32 Gaussians, cutoff 4 Å, float64) learns energies and forces of
rattled silicon, 64 atoms and 8 configurations a step. Four ways are timed, each in a separate
process, in turn, round after round:

KLIFF            KLIFF's GNNLightningTrainer with this SchNet written in its convention
same network     the same module, trained by this package on the same staged graphs
staged           SchNet of this package on staged graphs
minimum image    SchNet of this package without ghosts, with the same energies: the default

CPU time is that of the training process, without KLIFF's loader, which is another process. Without
KLIFF only the others are timed. Then many epochs show whether memory grows, and structures of 64 to
4,096 atoms, one per step, show how the cost depends on the number of edges.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from common.options import parse_with_common_options
from common.programs import objects
from common.reports import machine, new_table, progress_bar, write_json
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from torchml import TorchMLError

WORKER = Path(__file__).parent / "trainers" / "worker.py"
CASES = {
    "kliff": "KLIFF",
    "same": "same network",
    "staged": "staged",
    "minimum_image": "minimum image",
}
CONFIGURATIONS, BATCH, EPOCHS = 16, 8, 3
WARM_UP = 2  # steps
CELLS = (2, 3, 4, 5, 6, 8)  # 64 to 4,096 atoms
LONG = 60  # epochs of the memory test
SETTLED = 20  # epochs after which it must not grow
ROUNDS = 3
TARGET = 5.0  # times as fast as KLIFF
GROWTH = 5.0  # % by which memory may grow from then on: the allocator takes large pieces
EXPONENT = (0.8, 1.1)  # of the cost over the number of edges


@dataclass(frozen=True)
class Timing:
    """CPU time of the steps of one case, s, of all rounds."""

    case: str
    steps: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Configurations per second: the median step."""
        return BATCH / float(np.median(self.steps))


@dataclass(frozen=True)
class Growth:
    """A step with one structure: its edges, and the CPU time, s."""

    atoms: int
    edges: int
    step: float


def main() -> int:
    """Run the benchmark; 0 unless something fails. Targets are shown, not enforced."""
    options = parse_options()
    console = Console()
    cases = [Timing(name) for name in CASES if name != "kliff" or has_kliff()]
    growth: list[Growth] = []
    try:
        with progress_bar(console) as progress, tempfile.TemporaryDirectory() as scratch:
            task = progress.add_task("", total=len(cases) * options.rounds + 1 + len(CELLS))
            folder = Path(scratch) / "data"
            write_silicon(folder, cells=2, count=CONFIGURATIONS)
            for _ in range(options.rounds):
                for case in cases:
                    progress.update(task, description=CASES[case.case])
                    result = work(case.case, folder, BATCH, EPOCHS)
                    case.steps.extend(result["steps"][WARM_UP:])
                    progress.advance(task)
            progress.update(task, description=f"memory over {LONG} epochs")
            memory = work("minimum_image", folder, BATCH, LONG)["memory"]
            progress.advance(task)
            for cells in CELLS:
                progress.update(task, description=f"{8 * cells**3} atoms")
                one = Path(scratch) / f"{cells}"
                write_silicon(one, cells, count=1)
                result = work("minimum_image", one, 1, WARM_UP + 4)
                step = float(np.median(result["steps"][WARM_UP:]))
                growth.append(Growth(8 * cells**3, result["edges"], step))
                progress.advance(task)
    except TorchMLError as error:
        print(f"training.py: {error}", file=sys.stderr)
        return 1
    console.print(speed_table(cases, options.rounds))
    console.print("")
    console.print(growth_table(growth))
    console.print("")
    console.print(memory_line(memory))
    path = options.output / "training.json"
    write_json(
        {
            "machine": machine(),
            "speed": [asdict(case) | {"rate": case.rate} for case in cases],
            "memory": memory,
            "growth": [asdict(one) for one in growth],
            "exponent": exponent(growth),
        },
        path,
    )
    console.print(f"All figures: {path}")
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parse_with_common_options(parser, rounds=ROUNDS, result="training.json")


def has_kliff() -> bool:
    """Whether KLIFF can be imported."""
    return importlib.util.find_spec("kliff") is not None


def work(case: str, folder: Path, batch_size: int, epochs: int) -> dict[str, list[float]]:
    """Train in a new process, on one thread."""
    command = [sys.executable, str(WORKER), case, str(folder), str(batch_size), str(epochs)]
    (result,) = objects(command)
    return result


def write_silicon(folder: Path, cells: int, count: int) -> None:
    """Rattled silicon of 8 cells³ atoms in KLIFF's flavour of extxyz; arbitrary labels."""
    folder.mkdir()
    random = np.random.default_rng(2018)
    for number in range(count):
        atoms = bulk("Si", "diamond", a=5.431, cubic=True) * (cells, cells, cells)
        atoms.positions += random.uniform(-0.1, 0.1, atoms.positions.shape)
        forces = random.normal(size=atoms.positions.shape)
        (folder / f"{number:03d}.xyz").write_text(text_of(atoms, -4.3 * len(atoms), forces))


def text_of(atoms: Atoms, energy: float, forces: NDArray[np.float64]) -> str:
    """One configuration."""
    cell = " ".join(map(repr, atoms.cell.array.ravel().tolist()))
    lines = [
        str(len(atoms)),
        f'Lattice="{cell}" PBC="1 1 1" Energy="{energy!r}" Properties=species:S:1:pos:R:3:for:R:3',
    ]
    rows = np.hstack([atoms.positions, forces]).tolist()
    return "\n".join([*lines, *(" ".join(["Si", *map(repr, row)]) for row in rows), ""])


def speed_table(cases: list[Timing], rounds: int) -> Table:
    """Configurations per second, and how they compare."""
    table = new_table(
        f"Training: 64 atoms, {BATCH} configurations a step, one thread ({rounds} rounds)",
        ["way"],
        ["step/ms", "configurations/s", "over KLIFF", "target"],
        "CPU time, medians of all steps; over KLIFF: how many times as fast.",
    )
    theirs = next((case.rate for case in cases if case.case == "kliff"), None)
    for case in cases:
        ratio = f"{case.rate / theirs:.1f}" if theirs else "no KLIFF"
        table.add_row(
            CASES[case.case],
            f"{1000 * BATCH / case.rate:.1f}",
            f"{case.rate:.1f}",
            ratio,
            f"> {TARGET:g}" if case.case == "minimum_image" else "",
        )
    return table


def growth_table(growth: list[Growth]) -> Table:
    """The cost of a step over its edges."""
    table = new_table(
        "A step with one structure, minimum image",
        [],
        ["atoms", "edges", "step/ms", "µs/edge"],
        f"step ~ edges^{exponent(growth):.2f} (target: {EXPONENT[0]} to {EXPONENT[1]}; small steps "
        "have a share that does not grow)",
    )
    for one in growth:
        table.add_row(
            f"{one.atoms}",
            f"{one.edges}",
            f"{1000 * one.step:.1f}",
            f"{1e6 * one.step / one.edges:.2f}",
        )
    return table


def exponent(growth: list[Growth]) -> float:
    """Slope of the logarithm of the cost over that of the number of edges."""
    edges, steps = (np.log([getattr(one, name) for one in growth]) for name in ("edges", "step"))
    return float(np.polyfit(edges, steps, 1)[0])


def memory_line(memory: list[float]) -> str:
    """Memory of the process over epochs."""
    settled, last = memory[SETTLED], memory[-1]
    return (
        f"Memory over {LONG} epochs: {settled:.0f} MB after {SETTLED}, {last:.0f} MB at the end: "
        f"{100 * (last / settled - 1):+.2f} % (target: < {GROWTH:g} %)"
    )


if __name__ == "__main__":
    sys.exit(main())
