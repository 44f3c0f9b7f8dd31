"""A LAMMPS that takes one step at a time, and what a step costs.

It reads its script from a pipe. After each step it writes the CPU time of all its threads, so
several can take their steps in turn.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from ase import Atoms
from ase.io import write

from torchml.errors import TorchMLError

_SCRIPT = """\
{first}
atom_modify map array
newton {newton}
boundary p p p
read_data atoms.data
{potential}
neighbor 2.0 bin
fix move all nve
thermo_style custom step pe
thermo_modify format float %.15g
run 0
write_dump all custom forces.txt fx fy fz modify sort id format float %.17g
print "$(pe:%.17g)" file energy.txt screen no
run {warm_up}
"""
_LAST = 4  # lines of the output in an error
_HEADER = 9  # lines of a dump before those of the atoms
_TIME = "shell 'cat /proc/$PPID/task/*/schedstat > new && mv new cpu'\n"


class Lammps:
    """A process that ends with its context.

    Args:
        name: for errors.
        program: the executable.
        first: commands that choose the units.
        potential: commands that choose the potential.
        atoms: periodic in all directions.
        species: chemical symbols, in the order of the types.
        folder: a folder for its files alone.
        warm_up: steps before the first that is measured.
        newton: on or off.
        environment: variables of the process.
    """

    def __init__(
        self,
        name: str,
        program: str,
        first: str,
        potential: str,
        atoms: Atoms,
        species: Sequence[str],
        folder: Path,
        warm_up: int,
        newton: str = "on",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.folder = name, folder
        folder.mkdir()
        write(
            folder / "atoms.data", atoms, format="lammps-data", masses=True, specorder=list(species)
        )
        with (folder / "output").open("w") as output:
            self._process = subprocess.Popen(
                [program, "-log", "log"],  # pair_e3gnn writes to it, also where there is none
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            )
        script = _SCRIPT.format(first=first, newton=newton, potential=potential, warm_up=warm_up)
        try:
            self._spent = self._run(script)
        except TorchMLError:
            self.__exit__()
            raise

    @property
    def energy(self) -> float:
        """Of the first atoms, eV."""
        return float((self.folder / "energy.txt").read_text())

    @property
    def forces(self) -> np.ndarray:
        """Of the first atoms, [N, 3] eV/Å."""
        return np.loadtxt(self.folder / "forces.txt", skiprows=_HEADER).reshape(-1, 3)

    def step(self) -> float:
        """CPU time of one step, s."""
        before, self._spent = self._spent, self._run("run 1 pre no post no\n")
        return self._spent - before

    def __enter__(self) -> Lammps:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _run(self, commands: str) -> float:
        """CPU time of the process after these commands, s."""
        assert self._process.stdin is not None
        times = self.folder / "cpu"
        try:
            self._process.stdin.write(commands + _TIME)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its output explains more
        while not times.exists():
            if self._process.poll() is not None:
                raise TorchMLError(f"{self.name}: LAMMPS ended: {self._last_lines()}")
            time.sleep(0.01)
        lines = times.read_text().splitlines()
        times.unlink()
        return 1e-9 * sum(float(line.split()[0]) for line in lines)

    def _last_lines(self) -> str:
        lines = (self.folder / "output").read_text().strip().splitlines()
        errors = [line for line in lines if "ERROR" in line] or lines[-_LAST:]
        return " / ".join(errors) or "no message"
