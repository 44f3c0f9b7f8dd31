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
    """How much is evaluated together; a structure alone may exceed a limit.

    Attributes:
        edges: largest number of edges in a batch.
        atoms: largest number of atoms; no limit if None.
        structures: largest number of structures; no limit if None.
    """

    edges: int = 100_000
    atoms: int | None = None
    structures: int | None = None

    def __post_init__(self) -> None:
        for name in ("edges", "atoms", "structures"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise DataError(f"the limit of {name} is {value}, expected 1 or more")

    def permit(self, systems: list[System]) -> bool:
        """Whether these structures may be one batch."""
        return len(systems) < 2 or (
            sum(system.size for system in systems) <= self.edges
            and (self.atoms is None or sum(len(s.atoms) for s in systems) <= self.atoms)
            and (self.structures is None or len(systems) <= self.structures)
        )


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
    new = (System(i, a, evaluator.size(a), options, every) for i, a in structures)
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
        taken: list[System] = []
        while self._next is not None and self._limits.permit([*batch, *taken, self._next]):
            taken.append(self._next)
            self._next = next(self._systems, None)
        if self._shared:
            return [taken] if taken else []
        return [[system] for system in taken]
