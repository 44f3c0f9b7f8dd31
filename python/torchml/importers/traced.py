"""The energies of another package's model as a graph of torch operations, or as TorchScript.

The graph runs in Python with derivatives, becomes TorchScript, and is compiled ahead of time. All
layers compute all nodes: numbers of nodes and edges of shells are not used.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from torchml.contract.torchscript import load_script
from torchml.importers.reading.replay import replayed
from torchml.models.base import EdgeModel, float_type

_DISTANCE = 0.5  # of the cutoff


class Traced(EdgeModel):
    """Energies by a function that another package's model was traced to.

    An isolated pair of atoms is added to each call and its energy dropped. So no size is ever 0
    or 1, for which tracing makes rules of its own, and which some packages cannot take.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: the largest distance of an edge (Å).
        layers: passes over the edges.
        function: of species, edge vectors and edge index; with `counts` also of those of nodes and
            edges. A module of torch.fx or TorchScript.
        dtype: its float type, which is in its operations and cannot be changed.
        counts: whether the function takes numbers of nodes and edges.
    """

    ends: Tensor
    codes: Tensor
    __constants__ = ("counts",)

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        layers: int,
        function: torch.nn.Module,
        dtype: str,
        counts: bool = False,
    ) -> None:
        super().__init__(species, cutoff, layers)
        self.function = function
        self.counts = counts
        vector = [[0.0, 0.0, _DISTANCE * cutoff], [0.0, 0.0, -_DISTANCE * cutoff]]
        # A parameter shows the float type also of a sum that contains this model.
        pair = torch.tensor(vector, dtype=float_type(dtype))
        self.pair = torch.nn.Parameter(pair, requires_grad=False)
        self.register_buffer("ends", torch.tensor([[0, 1], [1, 0]]))
        self.register_buffer("codes", torch.tensor([0, 0]))

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        nodes = species.size(0)
        codes = torch.cat([species, self.codes])
        vectors = torch.cat([edge_vectors.to(self.pair.dtype), self.pair])
        index = torch.cat([edge_index, self.ends + nodes], 1)
        if self.counts:
            n, e = [nodes + 2] * (self.layers + 1), [vectors.size(0)] * self.layers
            energies: Tensor = self.function(codes, vectors, index, n, e)
        else:
            energies = self.function(codes, vectors, index)
        return energies[:nodes]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move to another device; the float type stays, because the operations name it."""
        super()._apply(lambda one: fn(one).to(one.dtype), recurse)  # type: ignore[no-untyped-call]
        return self


def function_of(content: Mapping[str, Any]) -> tuple[torch.nn.Module, bool]:
    """The function that was handed over, and whether it takes numbers of nodes and edges.

    Args:
        content: with `graph`, or with `torchscript` and `counts`.
    """
    if "graph" in content:
        return replayed(content["graph"]), False
    script = load_script(content["torchscript"], "function in TorchScript", "the model")
    return script.eval(), bool(content["counts"])
