"""How many edges one call of a model gets.

A call has a fixed cost of about a millisecond, so small models need many edges in one. A network
that computes for milliseconds on a single structure gains nothing from more, and its arrays would
leave the caches of the processor. So on a CPU the limit follows the model: as many edges as take
CALL_SECONDS.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torchml.inference.potential import Potential

CALL_SECONDS = 0.01
MOST_EDGES_ON_GPU = 2_000_000  # a GPU needs many edges to be busy

_FIRST = 1_000  # edges of the first call, whose time is not known

_seconds_per_edge: WeakKeyDictionary[Potential, float] = WeakKeyDictionary()


class CallSize:
    """The limit of the edges in one call.

    Args:
        potential: the model, of which the times of earlier calls are known.
        most: a limit that does not follow the times.
    """

    def __init__(self, potential: Potential, most: int | None = None) -> None:
        if most is None and potential.device != "cpu":
            most = MOST_EDGES_ON_GPU
        self._potential = potential
        self._follows = most is None
        self._most = most

    @property
    def most(self) -> int:
        """Edges that the next call may have."""
        if not self._follows:
            assert self._most is not None
            return self._most
        seconds = _seconds_per_edge.get(self._potential)
        edges = _FIRST if seconds is None else max(1, int(CALL_SECONDS / seconds))
        return edges if self._most is None else min(edges, self._most)

    def took(self, edges: int, seconds: float) -> None:
        """Learn the time of a call; the fastest counts, since others can be disturbed."""
        if self._follows and edges:
            before = _seconds_per_edge.get(self._potential, float("inf"))
            _seconds_per_edge[self._potential] = min(before, seconds / edges)

    def lower(self, edges: int) -> None:
        """Permit fewer edges than a call that did not fit into the memory."""
        self._most = max(1, min(self.most, edges // 2))
