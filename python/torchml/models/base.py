"""What every interatomic potential of this package looks like: a function of edge vectors."""

from __future__ import annotations

import torch
from torch import Tensor


class EdgeModel(torch.nn.Module):
    """A potential whose energy is a function of the vectors between neighbours.

    Subclasses implement `forward` in the part of Python that TorchScript understands, with aten
    operations only, and are smooth where an edge reaches the cutoff. They do not know how the
    simulator hands over its atoms: `torchml.models.scripting.script` wraps them in one of the
    calling conventions.

    Attributes:
        species: chemical symbols; species code `k` in the input means `species[k]`.
        cutoff: neighbours are closer than this (Å).
        layers: message-passing layers; the influence distance is `layers * cutoff`.
        radial: True when the energy depends on the edge vectors through their lengths only.
    """

    radial: bool = False

    def __init__(self, species: list[str], cutoff: float, layers: int) -> None:
        super().__init__()
        self.species = list(species)
        self.cutoff = float(cutoff)
        self.layers = int(layers)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        """Energies of the particles (eV).

        Args:
            species: codes, i64[M].
            edge_vectors: position of the source minus position of the target, float[E, 3] (Å).
            edge_index: row 0 source, row 1 target, i64[2, E]; sorted by the target's shell.
            node_counts: `node_counts[k]` nodes lie in the shells 0..k; `layers + 1` entries.
            edge_counts: `edge_counts[k]` edges point into the shells 0..k; `layers` entries.

        Layer `l` of `n` may work on the first `edge_counts[n-1-l]` edges and needs to produce
        the first `node_counts[n-1-l]` nodes only.

        Returns:
            float[M]; only the first `node_counts[0]` values have to be right.
        """
        raise NotImplementedError
