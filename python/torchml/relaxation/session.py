"""One relaxation of many structures on one rank, from the check of the input to the last file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ase import Atoms

from torchml.data.progress import Progress
from torchml.data.ranks import Ranks
from torchml.relaxation.evaluators import Evaluator
from torchml.relaxation.journal import restored
from torchml.relaxation.loop import Limits, relax_all
from torchml.relaxation.options import RelaxOptions
from torchml.relaxation.output import Files, Output, Record, settings_of
from torchml.relaxation.results import Relaxed
from torchml.relaxation.structures import Structures


@dataclass
class Session:
    """What is relaxed, how, and on which rank.

    Attributes:
        structures: all of them, the same on each rank.
        evaluator: of the model.
        options: of the relaxation.
        limits: of a batch.
        ranks: this process, and how many there are; each structure belongs to one.
    """

    structures: Structures
    evaluator: Evaluator
    options: RelaxOptions
    limits: Limits
    ranks: Ranks

    def __post_init__(self) -> None:
        self.structures.check(self.evaluator, cell=self.options.cell is not None)
        self._mine = list(self.ranks.share(len(self.structures)))

    def in_memory(self, every: int) -> list[Relaxed]:
        """Relax this rank's structures and write nothing.

        Args:
            every: steps from one frame of a result to the next; 0 keeps none.
        """
        found = {relaxed.id: relaxed for relaxed in self._relax(self._mine, every)}
        return [found[self.structures.ids[k]] for k in self._mine]

    def into_folder(self, folder: Path, files: Files) -> list[Record]:
        """Relax this rank's structures that have no result in the folder yet, and write all files.

        Returns:
            The records of all ranks that are there, in the order of the structures.
        """
        settings = settings_of(self.evaluator, self.options)
        ids = self.structures.ids
        mine = [ids[k] for k in self._mine]
        with Output(folder, files, settings, self.ranks.rank, mine) as output:
            todo = []
            for k in self._mine:
                if (record := output.finished.get(ids[k])) is None:
                    todo.append(k)
                else:
                    restored(record, self.structures.atoms(k))  # raises if it is another structure
            index = {ids[k]: k for k in todo}
            for relaxed in self._relax(todo, files.trajectories):
                output.add(relaxed, self.structures.atoms(index[relaxed.id]))
        return output.join(ids, self.structures.atoms)

    def results(self, records: list[Record]) -> list[Relaxed]:
        """Return this rank's results, from the records."""
        by_id = {record["id"]: record for record in records}
        return [
            restored(by_id[self.structures.ids[k]], self.structures.atoms(k)) for k in self._mine
        ]

    def _relax(self, indices: list[int], every: int) -> Iterator[Relaxed]:
        limits = self.limits
        if not self.evaluator.together and self.options.history == "per_system":
            limits = replace(limits, structures=1)  # a calculator keeps the lists of one structure

        def structures() -> Iterator[tuple[str, Atoms]]:
            for k in indices:
                yield self.structures.ids[k], self.structures.atoms(k)

        with Progress("relaxing", total=len(indices)) as bar:
            for relaxed in relax_all(structures(), self.evaluator, self.options, limits, every):
                yield relaxed
                bar.advance()
