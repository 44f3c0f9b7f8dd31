"""One structure on its way to a minimum."""

from __future__ import annotations

import math
import time

from ase import Atoms

from torchml.inference.evaluation import Evaluation
from torchml.relaxation.cell import AtomsAndCell
from torchml.relaxation.coordinates import Coordinates, FreeAtoms
from torchml.relaxation.optimizer import Rows, longest_row
from torchml.relaxation.options import RelaxOptions
from torchml.relaxation.results import Frame, Relaxed, State


class System:
    """A copy of a structure, its coordinates, and what happened to it.

    Args:
        id: of the structure.
        atoms: the structure.
        options: of the relaxation.
        every: steps from one frame to the next; 0 keeps none.
    """

    def __init__(self, id: str, atoms: Atoms, options: RelaxOptions, every: int = 0) -> None:
        self.id = id
        self.atoms = atoms.copy()
        self.coordinates: Coordinates = (
            AtomsAndCell(self.atoms, options.cell) if options.cell else FreeAtoms(self.atoms)
        )
        self.rows = self.coordinates.rows()
        self._every = every
        self._begin = 0.0
        self._frames: list[Frame] = []
        self._energies: list[float] = []
        self._fmaxes: list[float] = []
        self._last: Frame | None = None

    def understand(self, evaluation: Evaluation) -> str:
        """Take an evaluation of the present positions; returns why it is of no use, or ""."""
        self._begin = self._begin or time.perf_counter()
        self.evaluation = evaluation
        self.energy = self.coordinates.energy(evaluation)
        self.forces = self.coordinates.forces(evaluation)
        self.fmax = longest_row(self.forces)
        if not math.isfinite(self.energy + self.fmax):  # one of them is not
            return (
                f"after {max(len(self._energies) - 1, 0)} steps the energy is {self.energy} eV and "
                f"the largest force {self.fmax} eV/Å, expected finite values"
            )
        return ""

    def note(self) -> None:
        """Remember that a step ended at the present positions."""
        self._energies.append(self.evaluation.energy or 0.0)
        self._fmaxes.append(self.fmax)
        self._last = self._present(self.evaluation)

    def frame(self, evaluation: Evaluation, step: int, last: bool = False) -> None:
        """Keep the present positions with these results, if it is their turn."""
        if self._every and (last or step % self._every == 0):
            self._frames.append(self._present(evaluation))

    def _present(self, evaluation: Evaluation) -> Frame:
        return Frame(self.atoms.positions.copy(), self.atoms.cell.array.copy(), evaluation)

    def move(self, rows: Rows) -> None:
        """Change the positions."""
        self.rows = rows
        self.coordinates.move(rows)

    def result(self, state: State, steps: int, reason: str = "") -> Relaxed:
        """Return what became of the structure."""
        if self._last is not None:
            self._last.put_into(self.atoms)
        return Relaxed(
            self.id,
            self.atoms,
            state,
            reason,
            steps,
            time.perf_counter() - self._begin if self._begin else 0.0,
            tuple(self._energies),
            tuple(self._fmaxes),
            tuple(self._frames),
        )
