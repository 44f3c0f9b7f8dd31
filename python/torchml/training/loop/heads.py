"""Further targets, read from the features that a network has of its nodes.

Six kinds: scalars and vectors of the configuration (graph), of its atoms (node) and of its pairs of
neighbours (edge). Vectors are made of edge directions, so that they turn with the structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from torchml.data.batch import GraphBatch
from torchml.errors import TorchMLError

Kind = Literal[
    "graph_scalar", "node_scalar", "edge_scalar", "graph_vector", "node_vector", "edge_vector"
]


@dataclass
class Target:
    """A further label to learn.

    Attributes:
        name: name of the label in the files (see `data.keys.targets`).
        kind: owner of the label (graph, node, edge), and scalar or vector; vectors rotate with
            the structure.
        width: number of scalars; a vector has three components.
        coefficient: coefficient of its term in the loss.
        loss: any loss of torch; by default the squared error.
        reduce: sum or mean over the atoms, for values of the configuration.
    """

    name: str
    kind: Kind = "graph_scalar"
    width: int = 1
    coefficient: float = 1.0
    loss: torch.nn.Module | None = None
    reduce: Literal["sum", "mean"] = "sum"

    @property
    def components(self) -> int:
        """Numbers in one row of the label."""
        return self.width if self.kind.endswith("scalar") else 3


class Heads(torch.nn.Module):
    """One small network per target on top of `EdgeModel.node_features`."""

    def __init__(self, model: torch.nn.Module, targets: Sequence[Target]) -> None:
        super().__init__()
        self.targets = list(targets)
        self.networks = torch.nn.ModuleDict()
        if not targets:
            return
        network = getattr(model, "network", model)
        width = int(getattr(network, "width", 0))
        if width == 0:
            raise TorchMLError(
                f"{type(network).__name__} offers no node features, which the target "
                f"'{targets[0].name}' needs; expected a model with node_features and width"
            )
        dtype = next(network.parameters()).dtype
        for target in targets:
            on_nodes = target.kind in ("graph_scalar", "node_scalar")
            inputs = width if on_nodes else 2 * width + 1
            outputs = target.width if target.kind.endswith("scalar") else 1
            self.networks[target.name] = torch.nn.Sequential(
                torch.nn.Linear(inputs, width),
                torch.nn.SiLU(),
                torch.nn.Linear(width, outputs),
            ).to(dtype)

    def forward(self, model: torch.nn.Module, batch: GraphBatch) -> dict[str, Tensor]:
        """Compute the values by name of the target, float[rows, components].

        Rows are configurations, atoms or edges, as the kind of the target.
        """
        values: dict[str, Tensor] = {}
        if not self.targets:
            return values
        network: Any = getattr(model, "network", model)
        inner = batch.edge_counts[0]
        features = network.node_features(
            batch.species,
            batch.edge_vectors,
            batch.edge_index,
            batch.node_counts,
            batch.edge_counts,
        )
        # Edges into atoms; ghosts have the features of their atoms.
        index = batch.edge_index[:, :inner]
        atoms = batch.atom_of_node.index_select(0, index.flatten()).view(2, -1)
        vectors = batch.edge_vectors[:inner]
        for target in self.targets:
            head = self.networks[target.name]
            if target.kind in ("graph_scalar", "node_scalar"):
                value = head(features[: batch.n_atoms])
            else:
                r = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
                ends = [features.index_select(0, atoms[1]), features.index_select(0, atoms[0])]
                value = head(torch.cat([*ends, r], dim=1))
                if target.kind != "edge_scalar":
                    # Softly zero where an edge enters the neighbourhood.
                    fade = (1 - (r / network.cutoff).square()).clamp(min=0).square()
                    value = value * fade * vectors / r
                if target.kind in ("node_vector", "graph_vector"):
                    value = value.new_zeros(batch.n_atoms, 3).index_add(0, atoms[1], value)
            if target.kind.startswith("graph"):
                total = value.new_zeros(len(batch), value.size(1))
                value = total.index_add(0, batch.configuration_of_atom, value)
                if target.reduce == "mean":
                    value = value / batch.atom_counts.to(value.dtype).unsqueeze(1)
            values[target.name] = value
        return values

    def owners(self, target: Target, batch: GraphBatch) -> Tensor:
        """Return the configuration that each row of a target belongs to, i64[rows]."""
        if target.kind.startswith("graph"):
            return torch.arange(len(batch), device=batch.species.device)
        if target.kind.startswith("node"):
            return batch.configuration_of_atom
        inner = batch.edge_counts[0]
        targets = batch.atom_of_node.index_select(0, batch.edge_index[1, :inner])
        return batch.configuration_of_atom.index_select(0, targets)
