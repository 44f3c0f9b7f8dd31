"""Many relaxations at once: when one ends, the next takes its place in the batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ase import Atoms

from torchml.errors import DataError
from torchml.relaxation.evaluators import Evaluator
from torchml.relaxation.group import Group
from torchml.relaxation.options import RelaxOptions
from torchml.relaxation.results import Relaxed
from torchml.relaxation.system import System


@dataclass(frozen=True)
class Limits:
    """How much is under way together; a structure alone may exceed a limit.

    Attributes:
        atoms: largest number of atoms in a batch.
        structures: largest number of structures in a batch; no limit if None.
        edges: largest number of neighbours in one call of the model, in which a batch is evaluated
            in parts; if None, as many as take about 10 ms on a CPU, and 2,000,000 on a GPU.
    """

    atoms: int = 10_000
    structures: int | None = None
    edges: int | None = None

    def __post_init__(self) -> None:
        for name in ("atoms", "structures", "edges"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise DataError(f"the limit of {name} is {value}, expected 1 or more")

    def permit(self, structures: int, atoms: int) -> bool:
        """Whether so many structures with so many atoms may be one batch."""
        few = self.structures is None or structures <= self.structures
        return structures < 2 or (few and atoms <= self.atoms)


def relax_all(
    structures: Iterable[tuple[str, Atoms]],
    evaluator: Evaluator,
    options: RelaxOptions,
    limits: Limits,
    every: int = 0,
) -> Iterator[Relaxed]:
    """Relax structures, and yield each result when it is there.

    Args:
        structures: ids and structures; each is asked for when there is room for it.
        evaluator: of the model.
        options: of the relaxation.
        limits: of a batch.
        every: steps from one frame of a trajectory to the next; 0 keeps none.
    """
    new = (System(id, atoms, options, every) for id, atoms in structures)
    waiting = _Waiting(new, limits, shared=options.history == "shared")
    active: list[Group] = []
    while True:
        active += [Group(systems, options) for systems in waiting.take(active)]
        if not active:
            return
        present = {system.id: system.atoms for group in active for system in group.systems}
        results = evaluator.evaluate(present, stress=options.cell is not None)
        for group in active:
            yield from group.advance([results[system.id] for system in group.systems])
        active = [group for group in active if group.systems]


class _Waiting:
    """Structures that wait for their place."""

    def __init__(self, systems: Iterator[System], limits: Limits, shared: bool) -> None:
        self._systems = systems
        self._limits = limits
        self._shared = shared
        self._next = next(systems, None)

    def take(self, active: list[Group]) -> list[list[System]]:
        """Return the groups for which there is room beside the active ones."""
        if self._shared and active:
            return []
        batch = [system for group in active for system in group.systems]
        count, atoms = len(batch), sum(len(system.atoms) for system in batch)
        taken: list[System] = []
        while (new := self._next) is not None:
            count, atoms = count + 1, atoms + len(new.atoms)
            if not self._limits.permit(count, atoms):
                break
            taken.append(new)
            self._next = next(self._systems, None)
        if self._shared:
            return [taken] if taken else []
        return [[system] for system in taken]
