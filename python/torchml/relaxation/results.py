"""The result of the relaxation of one structure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from torchml.inference.evaluation import Evaluation

State = Literal["converged", "not converged", "failed"]


@dataclass(frozen=True)
class Frame:
    """One structure on the way, with the energy and the forces that a trajectory shows.

    Attributes:
        positions: [N, 3], Å.
        cell: [3, 3], Å.
        evaluation: energy (eV), forces [N, 3] (eV/Å) and, if the cell relaxes, stress.
    """

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    evaluation: Evaluation

    def put_into(self, atoms: Atoms) -> Atoms:
        """Give a structure these positions and results; returns the structure."""
        atoms.positions[:] = self.positions
        atoms.cell[:] = self.cell
        names = ("energy", "forces", "stress")
        results = {name: getattr(self.evaluation, name) for name in names}
        atoms.calc = SinglePointCalculator(
            atoms, **{name: value for name, value in results.items() if value is not None}
        )
        return atoms


@dataclass(frozen=True)
class Relaxed:
    """Where a relaxation ended.

    Attributes:
        id: of the structure.
        atoms: the last structure; its calculator holds energy, forces (also of fixed atoms) and, if
            the cell relaxes, stress. Of a failed structure, the last one that could be evaluated.
        state: converged, not converged (the number of steps was reached), or failed.
        reason: why it failed, one sentence; empty otherwise.
        steps: moves.
        seconds: from its first evaluation to its last, beside the others of the batch.
        energies: energy at each step, eV; without the term of the pressure.
        fmaxes: largest force on a free atom (or on the cell) at each step, eV/Å.
        frames: what a trajectory contains; empty if none was requested.
    """

    id: str
    atoms: Atoms
    state: State
    reason: str = ""
    steps: int = 0
    seconds: float = 0.0
    energies: tuple[float, ...] = ()
    fmaxes: tuple[float, ...] = ()
    frames: tuple[Frame, ...] = field(default=(), repr=False)

    @property
    def converged(self) -> bool:
        """Whether the forces are small enough."""
        return self.state == "converged"

    @property
    def energy(self) -> float:
        """The last energy, eV; NaN if there is none."""
        return self.energies[-1] if self.energies else float("nan")

    @property
    def fmax(self) -> float:
        """The last of the largest forces, eV/Å; NaN if there is none."""
        return self.fmaxes[-1] if self.fmaxes else float("nan")
