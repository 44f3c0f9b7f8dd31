"""One run of molecular dynamics: in LAMMPS through KIM-API, or in ASE."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.io import write
from common.workers import Worker

from steps.variants import SKIN, Models, Variant
from torchml import TorchMLError
from torchml.validation.installing import environment
from torchml.validation.lammps import run_lammps

LATTICE = 5.431  # Å
RATTLE = 0.1  # Å
TEMPERATURE = 300.0  # K
CELLS = {8 * n**3: n for n in (2, 3, 4, 5, 6, 8, 10, 15, 20)}
WARM_UP = 3
WARM_UP_RANKS = 12  # on several ranks, ghosts are folded after eight steps at the earliest
# glibc keeps freed memory, which is faster than its default.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**33), "MALLOC_TRIM_THRESHOLD_": str(2**34)}

LAMMPS_INPUT = """\
kim init {model} metal
read_data silicon.data
velocity all create {temperature} 2018
kim interactions Si
neighbor {skin} bin
fix move all nve
thermo_style custom step pe
thermo_modify format float %.15g
thermo 1000000
run {steps}
"""


@dataclass(frozen=True)
class Case:
    """A measurement: a variant, a size, and numbers of ranks and of threads per rank."""

    variant: str
    atoms: int
    ranks: int = 1
    threads: int = 1

    @property
    def layout(self) -> str:
        return f"{self.ranks}x{self.threads}"


@dataclass
class Times:
    """Steps of all rounds of a case.

    cpu, wall: ms for each step; CPU time is that of all ranks and threads.
    driver, model: CPU time of the driver's share of the step, the model's included, and of the
        calls of the model, ms; empty if they were not recorded.
    peak: resident memory, MiB, of all ranks, the most of all rounds.
    ghosts: of all ranks.
    energy: of the first step, eV.
    """

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    driver: list[float] = field(default_factory=list)
    model: list[float] = field(default_factory=list)
    peak: float = 0.0
    ghosts: int = 0
    energy: float = 0.0

    def add(self, other: Times) -> None:
        """Further steps of the same case."""
        for key in ("cpu", "wall", "driver", "model"):
            getattr(self, key).extend(getattr(other, key))
        self.peak = max(self.peak, other.peak)
        self.ghosts, self.energy = other.ghosts, other.energy

    @property
    def step(self) -> float:
        """CPU time of a step, ms, which excludes other programs."""
        return float(np.median(self.cpu))

    @property
    def overhead(self) -> float | None:
        """Time of a step outside the model, % of the model."""
        if not self.model:
            return None
        shares = np.array(self.cpu[-len(self.model) :]) / np.array(self.model)
        return float(100 * (np.median(shares) - 1))

    def summary(self) -> dict[str, Any]:
        """Return medians and minima of the steps for the history."""
        lists = {"cpu": self.cpu, "wall": self.wall, "driver": self.driver, "model": self.model}
        figures = {
            key: {"median": float(np.median(values)), "minimum": min(values), "steps": len(values)}
            for key, values in lists.items()
            if values
        }
        return {**figures, "peak": self.peak, "ghosts": self.ghosts, "energy": self.energy}


def silicon(atoms: int) -> Atoms:
    """Rattled diamond silicon in a cubic box."""
    crystal: Atoms = bulk("Si", "diamond", a=LATTICE, cubic=True).repeat(CELLS[atoms])
    random = np.random.default_rng(2018)
    crystal.positions += random.uniform(-RATTLE, RATTLE, crystal.positions.shape)
    crystal.wrap()
    return crystal


def steps_of(case: Case, variant: Variant, seconds: float) -> int:
    """Return the number of steps for a duration, with a rough estimate of the time of a step."""
    milliseconds = 0.02 * case.atoms * (4 if variant.program == "original" else 1)
    if not variant.compressed:
        milliseconds *= 4 if variant.dtype == "float64" else 2
    milliseconds += 2.0 if variant.folding else 0.04 * case.atoms + 20.0
    return int(np.clip(1000 * seconds / milliseconds, 3, 100))


def run_case(
    case: Case,
    variant: Variant,
    models: Models,
    call_times: Path,
    original: Path | None,
    seconds: float,
    drivers: Path | None = None,
) -> Times:
    """Measure one case once.

    Args:
        original: folder of the collection with the original driver.
        seconds: approximate duration of the steps.
        drivers: folder of the collection with the driver; None is that of the environment.

    Raises:
        TorchMLError: the case cannot run; the message has the reason.
    """
    steps = steps_of(case, variant, seconds)
    if variant.program == "ase":
        if case.ranks != 1:
            raise TorchMLError("ASE runs on one rank")
        return run_ase(case, variant, models, steps)
    settings = {
        "OMP_NUM_THREADS": str(case.threads),
        "TORCHML_FOLDING": "on" if variant.folding else "off",
        "KIM_API_PORTABLE_MODELS_DIR": str(models.collection),
        "OMPI_MCA_hwloc_base_binding_policy": "none",  # or both threads of a rank get one core
        "PRTE_MCA_hwloc_default_binding_policy": "none",
    }
    if variant.program == "original":
        if original is None:
            raise TorchMLError("no collection with the original driver was named (--original)")
        settings["KIM_API_MODEL_DRIVERS_DIR"] = str(original)
        # It does not record the path of libtorch.
        libraries = [str(Path(torch.__file__).parent / "lib"), os.getenv("LD_LIBRARY_PATH", "")]
        settings["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries))
    elif drivers is not None:
        settings["KIM_API_MODEL_DRIVERS_DIR"] = str(drivers)
    with environment(KIM_API_PORTABLE_MODELS_DIR=str(models.collection)):
        name = models.installed(variant.model).name
    with environment(**settings):
        return run_in_lammps(case, name, steps, call_times)


def run_in_lammps(case: Case, model: str, steps: int, call_times: Path) -> Times:
    """Run LAMMPS with recorded calls; only the last `steps` steps count."""
    all_steps = steps + (WARM_UP if case.ranks == 1 else WARM_UP_RANKS)
    text = LAMMPS_INPUT.format(model=model, skin=SKIN, temperature=TEMPERATURE, steps=all_steps)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder / "silicon.data", silicon(case.atoms), format="lammps-data", masses=True)
        with environment(LD_PRELOAD=str(call_times), CALL_TIMES=str(folder / "calls")):
            log = run_lammps(text, folder, case.ranks)
        noted = [file.read_text().splitlines() for file in sorted(folder.glob("calls.*"))]
    if len(noted) != case.ranks:
        raise TorchMLError(f"{len(noted)} of {case.ranks} ranks noted their calls, expected all")
    times = [times_of(lines, steps) for lines in noted]
    result = times[0]
    for other in times[1:]:
        result.cpu = [a + b for a, b in zip(result.cpu, other.cpu, strict=True)]
        result.wall = [max(a, b) for a, b in zip(result.wall, other.wall, strict=True)]
        result.driver = [a + b for a, b in zip(result.driver, other.driver, strict=True)]
        result.model = [a + b for a, b in zip(result.model, other.model, strict=False)]
        result.peak += other.peak
    energy = re.search(r"^\s*0\s+(-?[\d.]+(?:e[-+]\d+)?)\s*$", log, re.MULTILINE)
    ghosts = re.search(r"^Nghost:\s+(\S+) ave", log, re.MULTILINE)
    if energy is None or ghosts is None:
        raise TorchMLError("LAMMPS' log has no line with the energy or with Nghost, expected both")
    result.energy = float(energy[1])
    result.ghosts = round(float(ghosts[1]) * case.ranks)
    return result


class Call(NamedTuple):
    """A line that the preloaded library wrote: begin and end in CPU time and by the clock, ms."""

    kind: str
    cpu: tuple[float, float]
    wall: tuple[float, float]


def times_of(lines: Sequence[str], steps: int) -> Times:
    """Return the steps of one process; a step is the time between calls of the driver."""
    calls = []
    peak = 0.0
    for kind, *numbers in map(str.split, lines):
        if kind == "peak":
            peak = float(numbers[0]) / 1024
        else:
            cpu_begin, cpu_end, begin, end = map(float, numbers)
            calls.append(Call(kind, (cpu_begin, cpu_end), (begin, end)))
    computes = [call for call in calls if call.kind == "compute"][-steps - 1 :]
    if len(computes) <= steps:
        raise TorchMLError(
            f"only the last {len(computes)} calls of the driver were noted, "
            f"expected at least {steps + 1}"
        )
    result = Times(peak=peak)
    for this, following in pairwise(computes):
        begin, end = this.cpu
        result.cpu.append(following.cpu[0] - begin)
        result.wall.append(following.wall[0] - this.wall[0])
        result.driver.append(end - begin)
        within = [c for c in calls if c.kind != "compute" and begin <= c.cpu[0] <= c.cpu[1] <= end]
        # The original driver calls libtorch's backward in another way, which is not recorded.
        if any(call.kind != "forward" for call in within):
            result.model.append(sum(call.cpu[1] - call.cpu[0] for call in within))
    return result


def run_ase(case: Case, variant: Variant, models: Models, steps: int) -> Times:
    """The same steps in ASE: VelocityVerlet, minimum-image edges."""
    worker = Path(__file__).with_name("ase_worker.py")
    arguments = [variant.dtype]
    if not variant.eager:
        with environment(KIM_API_PORTABLE_MODELS_DIR=str(models.collection)):
            arguments.append(str(models.model_file(variant.model)))
    memory = {} if variant.eager else KEEP_MEMORY
    with (
        tempfile.TemporaryDirectory() as scratch,
        Worker(
            variant.name,
            worker,
            arguments,
            Path(sys.executable),
            {**memory, "OMP_NUM_THREADS": str(case.threads)},
        ) as program,
    ):
        file = Path(scratch) / "silicon.traj"
        write(file, silicon(case.atoms))
        answer = program.ask(
            structure=str(file),
            warm_up=WARM_UP,
            steps=steps,
            kelvin=TEMPERATURE,
            time_step=1.0 * units.fs,
        )
    return Times(
        cpu=answer["cpu"], wall=answer["wall"], peak=answer["peak"], energy=answer["energy"]
    )
