"""A run of in.nve: silicon in the NVE ensemble in LAMMPS, with an installed KIM model."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchml.validation.lammps import run_lammps

INPUT = Path(__file__).with_name("in.nve")
TIMESTEP = 1e-3  # ps, as in in.nve


@dataclass(frozen=True)
class Run:
    """Results of a LAMMPS run.

    times [T], ps; potential, total [T], eV; pressure [T], bar; forces [N, 3] of step 0, eV/Å, the
    atoms sorted by position; seconds of wall time.
    """

    times: NDArray[np.float64]
    potential: NDArray[np.float64]
    total: NDArray[np.float64]
    pressure: NDArray[np.float64]
    forces: NDArray[np.float64]
    seconds: float

    @property
    def atoms(self) -> int:
        """Number of atoms."""
        return len(self.forces)

    @property
    def drift(self) -> float:
        """Slope of the total energy, eV per atom and ps."""
        return float(np.polyfit(self.times, self.total, 1)[0]) / self.atoms

    @property
    def fluctuation(self) -> float:
        """Fluctuation of the total energy over that of the potential energy."""
        return float(self.total.std() / self.potential.std())


def run(model: str, cells: int, steps: int, ranks: int) -> Run:
    """Run in.nve with a model: 8 cells³ atoms, on a number of MPI ranks."""
    variables = {"model": model, "cells": str(cells), "steps": str(steps)}
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        run_lammps(INPUT.read_text(), Path(scratch), ranks, variables)
        seconds = time.perf_counter() - start
        steps_, potential, total, pressure = np.loadtxt(Path(scratch) / "energies.txt").T
        first = (Path(scratch) / "forces.txt").read_text().split("ITEM: TIMESTEP")[1]
        atoms = np.loadtxt(first.split("ITEM: ATOMS")[1].splitlines()[1:])
    # Ranks number atoms differently, but their positions are the same.
    atoms = atoms[np.lexsort(atoms[:, 1:4].round(6).T)]
    return Run(steps_ * TIMESTEP, potential, total, pressure, atoms[:, 4:7], seconds)


def called(name: str, ranks: int) -> str:
    """Describe a run."""
    return f"{name} {ranks} rank{'s' * (ranks > 1)}"


def relative(values: NDArray[np.float64] | float, expected: NDArray[np.float64] | float) -> float:
    """Largest difference over the largest expected value."""
    return float(np.abs(np.subtract(values, expected)).max() / np.abs(expected).max())
