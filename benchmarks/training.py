"""Measure the speed of training, its memory over epochs, and its cost over system size.

A SchNet (3 layers, 64 features, 32 Gaussians, cutoff 4 Å, float64) learns energies and forces of
rattled silicon, 64 atoms and 8 configurations a step. Four ways are timed, each in a separate
process, in turn, round after round:

KLIFF            KLIFF's GNNLightningTrainer with this SchNet written in its convention
same network     the same module, trained by this package on the same staged graphs
staged           SchNet of this package on staged graphs
minimum image    SchNet of this package without ghosts, with the same energies: the default

Then the networks TensorNet and PaiNN with their defaults and a cutoff of 5 Å, on the same data, in
float64 and float32. `--against PYTHON` also times them with the torchml of another interpreter: an
earlier version, in turn, with the same seeds; then the losses of the last steps must agree.

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
from typing import Any

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
NETWORKS = {
    f"{name}:{dtype}": f"{label}, {dtype}"
    for name, label in (("tensornet", "TensorNet"), ("painn", "PaiNN"))
    for dtype in ("float64", "float32")
}
CONFIGURATIONS, BATCH, EPOCHS = 16, 8, 3
WARM_UP = 2  # steps
CELLS = (2, 3, 4, 5, 6, 8)  # 64 to 4,096 atoms
LONG = 60  # epochs of the memory test
SETTLED = 20  # epochs after which it must not grow
ROUNDS = 3
TARGET = 5.0  # times as fast as KLIFF
TARGET_AGAINST = 3.0  # times as fast as the version before `torchml::messages`
AGREEMENT = 1e-3  # of the losses of two versions after the same steps, relative
GROWTH = 5.0  # % by which memory may grow from then on: the allocator takes large pieces
EXPONENT = (0.8, 1.1)  # of the cost over the number of edges


@dataclass
class Timing:
    """CPU time of the steps of one case, s, of all rounds."""

    case: str
    steps: list[float] = field(default_factory=list)
    loss: float = 0.0  # of the last step

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
    networks = [Timing(name) for name in NETWORKS]
    earlier = [Timing(name) for name in NETWORKS] if options.against else []
    growth: list[Growth] = []
    memory: list[float] = []
    if options.networks:
        cases = []
    try:
        with progress_bar(console) as progress, tempfile.TemporaryDirectory() as scratch:
            rest = 0 if options.networks else 1 + len(CELLS)
            total = options.rounds * len(cases + networks + earlier) + rest
            task = progress.add_task("", total=total)
            folder = Path(scratch) / "data"
            write_silicon(folder, cells=2, count=CONFIGURATIONS)
            for _ in range(options.rounds):
                for case in cases:
                    progress.update(task, description=CASES[case.case])
                    add_steps(case, folder)
                    progress.advance(task)
                for number, network in enumerate(networks):
                    progress.update(task, description=NETWORKS[network.case])
                    add_steps(network, folder)
                    progress.advance(task)
                    if earlier:
                        add_steps(earlier[number], folder, options.against)
                        require_agreement(network, earlier[number])
                        progress.advance(task)
            if not options.networks:
                progress.update(task, description=f"memory over {LONG} epochs")
                memory = work("minimum_image", folder, BATCH, LONG)["memory"]
                progress.advance(task)
            for cells in () if options.networks else CELLS:
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
    if cases:
        console.print(speed_table(cases, options.rounds))
        console.print("")
    console.print(network_table(networks, earlier))
    if growth:
        console.print("")
        console.print(growth_table(growth))
        console.print("")
        console.print(memory_line(memory))
    path = options.output / "training.json"
    write_json(
        {
            "machine": machine(),
            "speed": [asdict(case) | {"rate": case.rate} for case in cases],
            "networks": [asdict(case) | {"rate": case.rate} for case in networks],
            "earlier": [asdict(case) | {"rate": case.rate} for case in earlier],
            "memory": memory,
            "growth": [asdict(one) for one in growth],
            "exponent": exponent(growth) if growth else None,
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
    parser.add_argument("--networks", action="store_true", help="time TensorNet and PaiNN alone")
    parser.add_argument("--against", metavar="PYTHON", help="interpreter with an earlier torchml")
    return parse_with_common_options(parser, rounds=ROUNDS, result="training.json")


def has_kliff() -> bool:
    """Whether KLIFF can be imported."""
    return importlib.util.find_spec("kliff") is not None


def work(
    case: str, folder: Path, batch_size: int, epochs: int, python: str = sys.executable
) -> dict[str, Any]:
    """Train in a new process, on one thread."""
    command = [python, str(WORKER), case, str(folder), str(batch_size), str(epochs)]
    if python != sys.executable:  # the other interpreter has a torchml of its own
        command = ["env", "-u", "PYTHONPATH", *command]
    (result,) = objects(command)
    return result


def add_steps(timing: Timing, folder: Path, python: str = sys.executable) -> None:
    """Add the steps of one training."""
    result = work(timing.case, folder, BATCH, EPOCHS, python)
    timing.steps.extend(result["steps"][WARM_UP:])
    timing.loss = result["loss"]


def require_agreement(network: Timing, earlier: Timing) -> None:
    """Raise an error unless two versions learned the same."""
    if not abs(network.loss / earlier.loss - 1) < AGREEMENT:
        raise TorchMLError(
            f"the loss of {NETWORKS[network.case]} is {network.loss} after the last step, and "
            f"{earlier.loss} with the earlier version, expected the same"
        )


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


def network_table(networks: list[Timing], earlier: list[Timing]) -> Table:
    """Steps per second of networks, and how they compare with an earlier version."""
    table = new_table(
        f"Networks, 5 Å: 64 atoms, {BATCH} configurations a step, one thread",
        ["network"],
        ["step/ms", "steps/s", "earlier step/ms", "times as fast", "target"],
        "CPU time, medians of all steps; earlier: the version of --against.",
    )
    for number, network in enumerate(networks):
        ours = float(np.median(network.steps))
        row = [NETWORKS[network.case], f"{1000 * ours:.1f}", f"{1 / ours:.2f}"]
        if earlier:
            theirs = float(np.median(earlier[number].steps))
            row += [f"{1000 * theirs:.1f}", f"{theirs / ours:.2f}", f"> {TARGET_AGAINST:g}"]
        table.add_row(*row, *[""] * (6 - len(row)))
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
