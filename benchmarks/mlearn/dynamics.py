"""Molecular dynamics in LAMMPS: the CPU time of a step, and the drift of the energy."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from torchml import TorchMLError
from torchml.validation.installing import environment
from torchml.validation.lammps import run_lammps

SKIN = 2.0  # Å, the default of LAMMPS
STEP = 1e-3  # ps
WARM_UP = 5
LEAST, MOST = 10, 2000  # steps of a reading
SAMPLE = 10  # steps between two energies
SETTLING = 0.1  # of the time, at its beginning, before the drift counts

SCRIPT = """\
{begin}
read_data crystal.data
velocity all create {temperature} 2018
{pair}
neighbor {skin} bin
neigh_modify delay 0 every 1 check yes
timestep {step}
fix move all nve
thermo_style custom step etotal temp
thermo_modify norm no format float %.15g
thermo {sample}
"""
# CPU time of all threads of LAMMPS itself, ns: user and system, first number of each line.
READ_TIME = 'shell "cat /proc/$PPID/task/*/schedstat > {name}"\n'


@dataclass(frozen=True)
class Program:
    """A LAMMPS, and how it is told which potential to use.

    Attributes:
        begin: commands before the structure: the units, or `kim init`.
        pair: commands after it: `pair_style` and `pair_coeff`, or `kim interactions`.
        path: the program; None is `lmp` of the PATH.
        variables: of the environment.
    """

    begin: str
    pair: str
    path: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(self, atoms: Atoms, commands: str, temperature: float, results: list[str]) -> list[str]:
        """Run LAMMPS on one thread, and return the log and the contents of files it wrote."""
        script = SCRIPT.format(
            begin=self.begin,
            pair=self.pair,
            temperature=temperature,
            skin=SKIN,
            step=STEP,
            sample=SAMPLE,
        )
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write(folder / "crystal.data", atoms, format="lammps-data", masses=True)
            with environment(OMP_NUM_THREADS="1", **self.variables):
                log = run_lammps(script + commands, folder, program=self.path, timeout=None)
            return [log, *((folder / name).read_text() for name in results)]


def step_time(program: Program, atoms: Atoms, *, steps: int, temperature: float = 300.0) -> float:
    """Return the CPU time of a step, µs per atom: of `steps` steps after a few others.

    Args:
        program: LAMMPS with a potential.
        atoms: at the start.
        steps: between two readings of the CPU time in the same process.
        temperature: of the velocities at the start, K.
    """
    commands = (
        f"run {WARM_UP}\n"
        + READ_TIME.format(name="before")
        + f"run {steps} pre no post no\n"
        + READ_TIME.format(name="after")
    )
    _, before, after = program.run(atoms, commands, temperature, ["before", "after"])
    return (cpu_time(after) - cpu_time(before)) / (steps * len(atoms))


def cpu_time(reading: str) -> float:
    """Return the CPU time, µs, of a reading of all threads."""
    return sum(int(line.split()[0]) for line in reading.splitlines()) / 1e3


def steps_for(seconds: float, program: Program, atoms: Atoms) -> int:
    """Return a number of steps that takes about so long."""
    step = step_time(program, atoms, steps=LEAST) * len(atoms) / 1e6
    return int(np.clip(seconds / step, LEAST, MOST))


@dataclass(frozen=True)
class Drift:
    """Energy of a run at constant energy: slope, meV/atom/ps, spread, meV/atom, temperature, K."""

    slope: float
    spread: float
    temperature: float


def drift(program: Program, atoms: Atoms, *, picoseconds: float) -> Drift:
    """Return the drift over a time, by a straight line through the energies.

    Args:
        program: LAMMPS with a potential.
        atoms: a crystal at rest; half of its kinetic energy becomes potential energy, so that it
            ends near 300 K.
        picoseconds: of the run, the first tenth of which does not count.
    """
    steps = round(picoseconds / STEP)
    (log,) = program.run(atoms, f"run {steps}\n", 600.0, [])
    return fit_drift(energies(log), len(atoms))


def energies(log: str) -> np.ndarray:
    """Return the lines of step, energy (eV) and temperature (K) of a log."""
    lines = log.splitlines()
    starts = [n for n, line in enumerate(lines) if line.split()[:2] == ["Step", "TotEng"]]
    if not starts:
        raise TorchMLError("LAMMPS' log has no table of energies, expected Step and TotEng")
    rows = []
    for line in lines[starts[-1] + 1 :]:
        words = line.split()
        if not words or not words[0].isdigit():
            break
        rows.append([float(word) for word in words])
    return np.array(rows)


def fit_drift(rows: np.ndarray, atoms: int) -> Drift:
    """Return the drift of rows of step, energy and temperature."""
    if len(rows) < 20:
        raise TorchMLError(f"{len(rows)} energies are too few for a drift, expected at least 20")
    rows = rows[int(SETTLING * len(rows)) :]
    time, energy = rows[:, 0] * STEP, 1e3 * (rows[:, 1] - rows[0, 1]) / atoms
    line = np.polynomial.Polynomial.fit(time, energy, 1).convert()
    return Drift(
        slope=float(line.coef[1]) if len(line.coef) > 1 else 0.0,
        spread=float(np.std(energy - line(time))),
        temperature=float(rows[:, 2].mean()),
    )
