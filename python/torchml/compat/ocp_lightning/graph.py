"""The graph that a model of the user takes: structures of a batch, under the names of OCP.

It has what models for OCP read of a graph of DGL, which is not needed for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from torchml.errors import ModelError


class MissingError(ModelError, KeyError, AttributeError):
    """A model asks for something that the graph does not have."""

    __str__ = ModelError.__str__


class Fields(dict[str, Tensor]):
    """Values of the nodes or the edges by name."""

    def __init__(self, name: str, values: dict[str, Tensor], reason: str = "") -> None:
        super().__init__(values)
        self.name = name
        self.reason = reason

    def __missing__(self, key: str) -> Tensor:
        raise MissingError(
            f"{self.name} has no '{key}'{self.reason}, it has {', '.join(sorted(self))}"
        )


class Graph:
    """G structures as one graph of N atoms and E edges.

    Attributes:
        ndata: values of the atoms: pos float[N, 3] (Å), atomic_numbers i64[N], and in training tags
            i64[N] and fixed i64[N]; a model may add its own.
        edata: values of the edges: vector float[E, 3] (Å), source minus target across periodic
            boundaries, and distance float[E] (Å).
        batch: structure of each atom, i64[N].
        batch_size: G.
    """

    def __init__(
        self,
        ndata: dict[str, Tensor],
        edge_index: Tensor,
        vectors: Tensor,
        batch: Tensor,
        batch_size: int,
        reason: str = "",
    ) -> None:
        distances = vectors.square().sum(1).sqrt()
        self.ndata = Fields("graph.ndata", ndata, reason)
        self.edata = Fields("graph.edata", {"vector": vectors, "distance": distances})
        self.edge_index = edge_index
        self.batch = batch
        self.batch_size = batch_size

    @property
    def distances(self) -> Tensor:
        """Lengths of the edges, float[E] (Å)."""
        return self.edata["distance"]

    @property
    def vectors(self) -> Tensor:
        """Source minus target of the edges, float[E, 3] (Å)."""
        return self.edata["vector"]

    @property
    def device(self) -> torch.device:
        return self.batch.device

    def edges(self) -> tuple[Tensor, Tensor]:
        """Return source and target of the edges, i64[E] each."""
        return self.edge_index[0], self.edge_index[1]

    def num_nodes(self) -> int:
        """Return the number of atoms."""
        return self.batch.size(0)

    def num_edges(self) -> int:
        """Return the number of edges."""
        return self.edge_index.size(1)

    def batch_num_nodes(self) -> Tensor:
        """Return the number of atoms of each structure, i64[G]."""
        ones = torch.ones_like(self.batch)
        return ones.new_zeros(self.batch_size).index_add(0, self.batch, ones)

    def in_degrees(self) -> Tensor:
        """Return the number of edges into each atom, i64[N]."""
        target = self.edge_index[1]
        return torch.zeros_like(self.batch).index_add(0, target, torch.ones_like(target))

    def pool(self, values: Tensor, op: Literal["sum", "mean"] = "sum") -> Tensor:
        """Sum or average values of the atoms [N, ...] over each structure: [G, ...]."""
        if op not in ("sum", "mean"):
            raise ModelError(f"graph.pool: op is {op!r}, expected sum or mean")
        total = values.new_zeros([self.batch_size, *values.shape[1:]])
        total = total.index_add(0, self.batch, values)
        if op == "sum":
            return total
        counts = self.batch_num_nodes().clamp(min=1).to(values.dtype)
        return total / counts.view(-1, *[1] * (values.dim() - 1))

    @contextmanager
    def local_scope(self) -> Iterator[None]:
        """Forget, at the end of the context, what is put into ndata and edata in it."""
        nodes, edges = dict(self.ndata), dict(self.edata)
        try:
            yield
        finally:
            for fields, values in ((self.ndata, nodes), (self.edata, edges)):
                fields.clear()
                fields.update(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise MissingError(
            f"the graph has no '{name}', it has ndata, edata, edges(), edge_index, distances, "
            "vectors, batch, batch_size, num_nodes(), num_edges(), batch_num_nodes(), "
            "in_degrees(), pool() and local_scope(); torch.Tensor.index_add sums messages"
        )
