"""Structures that share an optimiser: usually one, with a shared history those of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from torchml.inference.evaluation import Evaluation
from torchml.relaxation.optimizer import Rows
from torchml.relaxation.options import RelaxOptions
from torchml.relaxation.results import Relaxed
from torchml.relaxation.selection import new_optimizer
from torchml.relaxation.system import System


class Group:
    """Moves its structures, from evaluation to evaluation, until all of them are relaxed.

    Args:
        systems: at least one.
        options: of the relaxation.
    """

    def __init__(self, systems: Sequence[System], options: RelaxOptions) -> None:
        self.systems = list(systems)
        self._options = options
        self._steps = 0
        self._last_move = False
        self._restart()

    def advance(self, evaluations: Sequence[Evaluation | str]) -> list[Relaxed]:
        """Move the structures.

        Args:
            evaluations: of the systems at their present positions; a text is the reason why there
                is none.

        Returns:
            The results of those that ended; these are systems of the group no longer.
        """
        ended = self._drop_failed(evaluations)
        if not self.systems:
            return ended
        rows = np.concatenate([system.rows for system in self.systems])
        forces = np.concatenate([system.forces for system in self.systems])
        energy = sum(system.energy for system in self.systems)
        trial = self._optimizer.retry(rows, energy, forces)
        if trial is not None:
            self._move(trial)
            return ended
        for system in self.systems:
            system.note()
        small = max(system.fmax for system in self.systems) <= self._options.fmax
        enough = self._last_move or (small and self._options.check == "before_move")
        if enough or self._steps == self._options.steps:
            return ended + self._end()
        self._frames(lagging=False)
        self._move(self._optimizer.step(rows, energy, forces))
        self._steps += 1
        self._last_move = small
        self._frames(lagging=True, last=small or self._steps == self._options.steps)
        return ended

    def _restart(self) -> None:
        self._optimizer = new_optimizer(self._options, [len(s.rows) for s in self.systems])

    def _drop_failed(self, evaluations: Sequence[Evaluation | str]) -> list[Relaxed]:
        failed, others = [], []
        for system, evaluation in zip(self.systems, evaluations, strict=True):
            reason = evaluation if isinstance(evaluation, str) else system.understand(evaluation)
            if reason:
                failed.append(system.result("failed", self._steps, reason))
            else:
                others.append(system)
        if failed:
            self.systems = others
            if others:
                self._restart()
        return failed

    def _move(self, rows: Rows) -> None:
        end = 0
        for system in self.systems:
            begin, end = end, end + len(system.rows)
            system.move(rows[begin:end])

    def _frames(self, lagging: bool, last: bool = False) -> None:
        if lagging == (self._options.frames == "lagging"):
            for system in self.systems:
                system.frame(system.evaluation, self._steps, last)

    def _end(self) -> list[Relaxed]:
        results = []
        for system in self.systems:
            if self._options.frames == "consistent":
                system.frame(system.evaluation, self._steps, last=True)
            good = self._last_move or system.fmax <= self._options.fmax
            results.append(system.result("converged" if good else "not converged", self._steps))
        self.systems = []
        return results
