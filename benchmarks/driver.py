"""Measure what a step of LAMMPS costs beyond the model's own forward and backward.

A SchNet with random weights (3 layers, 64 features, cutoff 4 Å) moves rattled silicon in LAMMPS:
NVE, pair_style kim, one rank, one thread. Two views of it are taken in turn, round after round:

In LAMMPS. A preloaded library notes when the driver's calls of forward and of libtorch's backward
begin and end. What is left of the step is driver, KIM-API and LAMMPS, whose own share its timing
tells. Model and rest are parts of the very same step, so their ratio does not suffer from what
changes between runs, and CPU time leaves out what other programs take.

The engine alone. A program calls the driver's engine on such a system, and then the bare model,
forward and backward, on the inputs that the engine prepared; in CPU time. The ratio of the two
contains what the driver does to the model, such as the memory it touches. Two parts of the
difference are timed by themselves: building the inputs, and carrying the derivatives back.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from common.options import parse_with_common_options
from common.programs import build, objects
from common.reports import machine, new_table, progress_bar, write_json
from rich.console import Console
from rich.table import Table

from torchml import TorchMLError, metadata
from torchml.export import Export, export
from torchml.models import SchNet, describe, script
from torchml.validation.command import environment
from torchml.validation.lammps import run_lammps

CELLS = {64: 2, 1000: 5, 8000: 10}
STEPS = {64: 60, 1000: 12, 8000: 3}  # in one round
WARM_UP = 3
ROUNDS = 3
CONVENTIONS = ("graph", "edges")
TARGET = {1000: 3.0}  # %, by atoms
# glibc keeps freed memory: else every large tensor is mapped and unmapped, and the page faults, at
# a quarter of the time and never twice the same, hide what engine and model differ by.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**33), "MALLOC_TRIM_THRESHOLD_": str(2**34)}

LAMMPS_INPUT = """\
kim init {model} metal
lattice diamond 5.431
region box block 0 {cells} 0 {cells} 0 {cells}
create_box 1 box
create_atoms 1 box
mass 1 28.0855
displace_atoms all random 0.1 0.1 0.1 2018 units box
velocity all create 300 2018
kim interactions Si
neighbor 2.0 bin
fix move all nve
thermo 1000000
run {warm_up}
run {steps}
"""


@dataclass(frozen=True)
class Step:
    """One step of LAMMPS: CPU time from one call of the model to the next, and of the model, ms."""

    step: float
    model: float

    @property
    def outside(self) -> float:
        """Share of the step outside the model, %."""
        return 100 * (1 - self.model / self.step)


@dataclass(frozen=True)
class Evaluation:
    """CPU time of one evaluation by the engine and of the bare model beside it, ms."""

    evaluate: float
    model: float
    build: float
    pull_back: float

    @property
    def overhead(self) -> float:
        """What the engine takes more than the model, % of the model's time."""
        return 100 * (self.evaluate / self.model - 1)

    @property
    def parts(self) -> float:
        """What its two timed parts take, % of the model's time."""
        return 100 * (self.build + self.pull_back) / self.model


@dataclass(frozen=True)
class Case:
    """One model on one system, and what was measured of it."""

    convention: str
    atoms: int
    steps: list[Step] = field(default_factory=list)
    lammps: list[float] = field(default_factory=list)  # its own share of the steps of a run, %
    evaluations: list[Evaluation] = field(default_factory=list)


def main() -> int:
    """Run the benchmark; 0 unless something fails. The target is shown, not enforced."""
    options = parse_options()
    console = Console()
    cases = [Case(name, atoms) for atoms in options.atoms for name in options.conventions]
    try:
        with (
            progress_bar(console) as progress,
            tempfile.TemporaryDirectory() as scratch,
            environment(OMP_NUM_THREADS="1", KIM_API_PORTABLE_MODELS_DIR=f"{scratch}/models"),
        ):
            task = progress.add_task("compiling", total=len(cases) * options.rounds)
            program = build("driver_benchmark", options.build)
            call_times = build("call_times", options.build)
            progress.update(task, description="exporting")
            folder = Path(scratch)
            (folder / "models").mkdir()
            models = {name: install(name, folder) for name in options.conventions}
            for _ in range(options.rounds):
                for case in cases:
                    progress.update(task, description=f"{case.convention}, {case.atoms} atoms")
                    run_in_lammps(case, models[case.convention], call_times)
                    archive = folder / f"{case.convention}.pt"
                    run_engine(case, archive, program)
                    progress.advance(task)
    except TorchMLError as error:
        print(f"driver.py: {error}", file=sys.stderr)
        return 1
    console.print(lammps_table(cases))
    console.print("")
    console.print(engine_table(cases))
    path = options.output / "driver.json"
    write_json({"machine": machine(), "cases": [asdict(case) for case in cases]}, path)
    console.print(f"All figures: {path}")
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
        default=[64, 1000],
        help="sizes of the system (default: %(default)s)",
    )
    parser.add_argument(
        "--conventions",
        nargs="+",
        choices=CONVENTIONS,
        default=list(CONVENTIONS),
        help="calling conventions (default: %(default)s)",
    )
    return parse_with_common_options(parser, rounds=ROUNDS, result="driver.json")


def install(convention: str, folder: Path) -> str:
    """Write the archive of the model and install it; its KIM name."""
    torch.manual_seed(2018)
    model = SchNet(["Si"], cutoff=4.0, layers=3, features=64)
    archive = folder / f"{convention}.pt"
    metadata.save(script(model, convention), archive, describe(model, convention))
    result = export(
        Export(
            model=archive,
            name=f"Benchmark_{convention}",
            output=folder,
            collection="environment",
        )
    )
    if result.folder is None:
        failed = next(check for check in result.checks if check.verdict == "fail")
        raise TorchMLError(f"the export of {convention} failed: {failed.name}: {failed.detail}")
    return result.folder.name


def run_in_lammps(case: Case, model: str, call_times: Path) -> None:
    """One LAMMPS run with the model's calls noted."""
    steps = STEPS[case.atoms]
    text = LAMMPS_INPUT.format(
        model=model, cells=CELLS[case.atoms], warm_up=WARM_UP, steps=steps + 1
    )
    with tempfile.TemporaryDirectory() as scratch:
        calls = Path(scratch) / "calls"
        with environment(LD_PRELOAD=str(call_times), CALL_TIMES=str(calls)):
            log = run_lammps(text, Path(scratch))
        noted = calls.read_text() if calls.exists() else ""
    # The calls of the last run are the last ones; a step goes from one forward to the next.
    forward, backward = (
        [(float(begin), float(end)) for _, begin, end in lines][-steps - 1 :]
        for lines in (
            [line.split() for line in noted.splitlines() if line.startswith(kind)]
            for kind in ("forward", "backward")
        )
    )
    if min(len(forward), len(backward)) <= steps:
        raise TorchMLError(
            f"only {len(forward)} forward and {len(backward)} backward calls were noted in "
            f"{steps + 1} steps of LAMMPS; is call_times built for the driver's libtorch?"
        )
    for (begin, end), (back, done), (following, _) in zip(
        forward[:-1], backward[:-1], forward[1:], strict=True
    ):
        case.steps.append(Step(step=following - begin, model=end - begin + done - back))
    loop = float(re.findall(r"^Loop time of (\S+)", log, re.MULTILINE)[-1])
    pair = float(re.findall(r"^Pair +\| *(\S+)", log, re.MULTILINE)[-1])
    case.lammps.append(100 * (1 - pair / loop))


def run_engine(case: Case, archive: Path, program: Path) -> None:
    """Engine and bare model in turn, as often as LAMMPS made steps."""
    command = [str(program), str(archive), str(CELLS[case.atoms]), str(STEPS[case.atoms])]
    with environment(**KEEP_MEMORY):
        case.evaluations.extend(Evaluation(**line) for line in objects(command))


def lammps_table(cases: list[Case]) -> Table:
    """Steps of LAMMPS."""
    table = new_table(
        f"A step of LAMMPS, 1 rank, 1 thread: CPU time (medians, {len(cases[0].lammps)} runs)",
        ["atoms", "convention"],
        ["step/ms", "model/ms", "rest/ms", "rest/%", "of it LAMMPS/%", "target"],
        "model: forward and backward; rest: driver, KIM-API and LAMMPS. Shares are of the step, "
        "± half the interquartile range of the steps.",
    )
    for case in cases:
        table.add_row(
            str(case.atoms),
            case.convention,
            f"{np.median([one.step for one in case.steps]):.2f}",
            f"{np.median([one.model for one in case.steps]):.2f}",
            f"{np.median([one.step - one.model for one in case.steps]):.2f}",
            with_spread([one.outside for one in case.steps]),
            f"{np.median(case.lammps):.2f}",
            target(case.atoms),
        )
    return table


def engine_table(cases: list[Case]) -> Table:
    """The engine against the bare model."""
    table = new_table(
        f"The engine beside the bare model: CPU time (medians, {len(cases[0].lammps)} rounds)",
        ["atoms", "convention"],
        ["engine/ms", "model/ms", "build/ms", "back/ms", "parts/%", "overhead/%"],
        "build: inputs from lists; back: forces from derivatives; parts: these two. overhead: "
        "engine / model - 1 of pairs timed one after the other, ± half the interquartile range. "
        "Both in % of the model.",
    )
    for case in cases:
        ours = case.evaluations
        table.add_row(
            str(case.atoms),
            case.convention,
            f"{np.median([one.evaluate for one in ours]):.2f}",
            f"{np.median([one.model for one in ours]):.2f}",
            f"{np.median([one.build for one in ours]):.2f}",
            f"{np.median([one.pull_back for one in ours]):.2f}",
            f"{np.median([one.parts for one in ours]):.1f}",
            with_spread([one.overhead for one in ours]),
        )
    return table


def with_spread(values: list[float]) -> str:
    """Median ± half the interquartile range."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.1f} ± {(high - low) / 2:.1f}"


def target(atoms: int) -> str:
    """The target for a system of this size."""
    return f"< {TARGET[atoms]:g} %" if atoms in TARGET else ""


if __name__ == "__main__":
    sys.exit(main())
