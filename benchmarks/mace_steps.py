"""Measure a step of dynamics with MACE: exported, in LAMMPS, and in MACE's own calculator.

Two models with random weights (cutoff 4 Å, 2 layers, correlation 3, l up to 2; 32 channels of
scalars, and 32 of scalars and vectors) move rattled silicon: NVE, one thread a rank. Each is run in
ASE by MACE's own calculator, and in LAMMPS as TorchScript, with its radial networks as they are and
as splines; all from the same weights, in both float types, in turn, round after round.

A step of LAMMPS is the CPU time from one call of the model to the next, recorded by a preloaded
library: of one rank, or of the slower of two. Energies of the first step are compared with MACE's.

(With the name mace.py, `import mace` would find this file.)
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import tempfile
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.io import write
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from common import kim_models
from common.mace_models import random_mace
from common.options import parse_with_common_options
from common.programs import build
from common.reports import machine, new_table, progress_bar, write_json
from rich.console import Console
from rich.table import Table

from torchml import TorchMLError
from torchml.export import Export
from torchml.export.accuracy import Tolerance
from torchml.validation.installing import environment
from torchml.validation.lammps import run_lammps

HIDDEN = {"32x0e": "32x0e", "32x0e+32x1o": "32x0e + 32x1o"}
CELLS = {216: 3, 1000: 5, 8000: 10}
STEPS = {216: 16, 1000: 5, 8000: 2}  # in one round
WARM_UP = 3
ROUNDS = 3
WAYS = ("MACE in ASE", "TorchScript", "compressed")

LAMMPS_INPUT = """\
kim init {model} metal
read_data silicon.data
velocity all create 300 2018
kim interactions Si
neighbor 2.0 bin
fix move all nve
thermo_style custom step pe
thermo_modify format float %.15g
thermo 1000000
run {steps}
"""


@dataclass
class Case:
    """A way to run a model of a size.

    steps: CPU time of each, of the slowest rank, ms.
    energy: of the first one, eV.
    """

    hidden: str
    dtype: str
    way: str
    atoms: int
    ranks: int
    steps: list[float] = field(default_factory=list)
    energy: float = 0.0

    @property
    def step(self) -> float:
        return float(np.median(self.steps))


def main() -> int:
    """Run the benchmark; 0 unless something fails."""
    options = parse_options()
    torch.set_num_threads(1)
    logging.getLogger().setLevel(logging.ERROR)  # MACE prints that it converts float types
    console = Console()
    cases = [
        Case(hidden, dtype, way, atoms, ranks)
        for hidden in options.hidden
        for atoms in options.atoms
        for dtype in options.dtypes
        for way in WAYS
        for ranks in ((1,) if way == WAYS[0] else options.ranks)
    ]
    try:
        with (
            progress_bar(console) as progress,
            tempfile.TemporaryDirectory() as scratch,
            environment(OMP_NUM_THREADS="1", KIM_API_PORTABLE_MODELS_DIR=f"{scratch}/models"),
        ):
            task = progress.add_task("exporting", total=len(cases) * options.rounds)
            (Path(scratch) / "models").mkdir()
            call_times = build("call_times", options.build)
            models = {hidden: random_mace(HIDDEN[hidden]) for hidden in options.hidden}
            names = {
                (case.hidden, case.dtype, case.way): install(case, models, Path(scratch))
                for case in cases
                if case.way != WAYS[0]
                and (case.atoms, case.ranks) == (options.atoms[0], options.ranks[0])
            }
            for _ in range(options.rounds):
                for case in cases:
                    progress.update(task, description=f"{case.way}, {case.hidden}, {case.atoms}")
                    if case.way == WAYS[0]:
                        run_in_ase(case, models[case.hidden])
                    else:
                        name = names[case.hidden, case.dtype, case.way]
                        run_in_lammps(case, name, call_times)
                    progress.advance(task)
    except TorchMLError as error:
        print(f"mace_steps.py: {error}", file=sys.stderr)
        return 1
    console.print(results(cases))
    path = options.output / "mace.json"
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
        default=[216, 1000],
        help="sizes of the system (default: %(default)s)",
    )
    parser.add_argument(
        "--hidden", nargs="+", choices=HIDDEN, default=list(HIDDEN), help="features of the models"
    )
    parser.add_argument(
        "--dtypes", nargs="+", choices=("float64", "float32"), default=["float64", "float32"]
    )
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2], help="ranks of LAMMPS")
    return parse_with_common_options(parser, rounds=ROUNDS, result="mace.json")


def install(case: Case, models: dict[str, torch.nn.Module], folder: Path) -> str:
    """Export a model as a user does, install it, and return its KIM name."""
    file = folder / f"{case.hidden}.model"
    if not file.exists():
        torch.save(models[case.hidden], file)
    compressed = case.way == WAYS[2]
    tolerance = Tolerance() if compressed else None
    name = re.sub(r"\W", "", f"MACE_{case.hidden}_{case.dtype}_{compressed}")
    order = Export(
        model=file, name=name, output=folder, collection="environment", compress=tolerance
    )
    return kim_models.install(replace(order, facts=replace(order.facts, dtype=case.dtype)))


def silicon(atoms: int) -> Atoms:
    """Rattled diamond silicon in a cubic box."""
    crystal: Atoms = bulk("Si", "diamond", a=5.431, cubic=True).repeat(CELLS[atoms])
    random = np.random.default_rng(2018)
    crystal.positions += random.uniform(-0.1, 0.1, crystal.positions.shape)
    crystal.wrap()
    return crystal


def run_in_ase(case: Case, model: torch.nn.Module) -> None:
    """MACE's own calculator, which sets torch's default float type."""
    from mace.calculators import MACECalculator

    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, case.dtype))
    try:
        atoms = silicon(case.atoms)
        atoms.calc = MACECalculator(models=deepcopy(model), device="cpu", default_dtype=case.dtype)
        MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(1))
        dynamics = VelocityVerlet(atoms, timestep=1.0 * units.fs)
        case.energy = float(atoms.get_potential_energy())
        dynamics.run(WARM_UP)
        for _ in range(STEPS[case.atoms]):
            begin = time.process_time()
            dynamics.run(1)
            case.steps.append(1e3 * (time.process_time() - begin))
    finally:
        torch.set_default_dtype(before)


def run_in_lammps(case: Case, model: str, call_times: Path) -> None:
    """One LAMMPS run with recorded calls of the model."""
    steps = STEPS[case.atoms]
    text = LAMMPS_INPUT.format(model=model, steps=WARM_UP + steps)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder / "silicon.data", silicon(case.atoms), format="lammps-data", masses=True)
        with environment(LD_PRELOAD=str(call_times), CALL_TIMES=str(folder / "calls")):
            log = run_lammps(text, folder, case.ranks)
        noted = [file.read_text().splitlines() for file in sorted(folder.glob("calls*"))]
    if len(noted) != case.ranks:
        raise TorchMLError(f"{len(noted)} of {case.ranks} ranks noted their calls, expected all")
    begins = [begins_of(lines)[-steps - 1 :] for lines in noted]
    if min(map(len, begins)) <= steps:
        raise TorchMLError(f"fewer than {steps + 1} calls of the model were noted")
    case.steps += np.diff(begins, axis=1).max(axis=0).tolist()
    energy = re.search(r"^\s*0\s+(-?[\d.]+(?:e[-+]\d+)?)\s*$", log, re.MULTILINE)
    if energy is None:
        raise TorchMLError("LAMMPS' log has no line with the energy, expected one")
    case.energy = float(energy[1])


def begins_of(lines: list[str]) -> list[float]:
    """CPU time at which each step's evaluation began, ms."""
    words = [line.split() for line in lines]
    kind = "compute" if any(word[0] == "compute" for word in words) else "forward"
    return [float(word[1]) for word in words if word[0] == kind]


def results(cases: list[Case]) -> Table:
    """Steps beside MACE's own."""
    table = new_table(
        "A step with MACE: CPU time of a rank (medians)",
        ["features", "dtype", "way"],
        ["atoms", "ranks", "step/ms", "MACE/step", "energy off by"],
        "MACE/step: that of MACE's own calculator over it, in the same float type. energy: "
        "relative difference to MACE's in float64.",
    )
    own = {(c.hidden, c.dtype, c.atoms): c for c in cases if c.way == WAYS[0]}
    for case in cases:
        peer = own[case.hidden, case.dtype, case.atoms]
        exact = own.get((case.hidden, "float64", case.atoms), peer).energy
        table.add_row(
            case.hidden,
            case.dtype,
            case.way,
            str(case.atoms),
            str(case.ranks),
            f"{case.step:.1f}",
            f"{peer.step / case.step:.1f}",
            f"{abs(case.energy / exact - 1):.0e}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
