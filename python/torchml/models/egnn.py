"""EGNN: equivariant network that displaces the atoms.

V. G. Satorras, E. Hoogeboom and M. Welling, ICML 2021 (arXiv:2102.09844).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu

from torchml.models.base import FeatureModel, float_type
from torchml.models.perceptron import initialize, readout
from torchml.models.radial import Gaussians, lengths, polynomial_envelope


class Layer(torch.nn.Module):
    """Messages, update of the features, and displacements of the atoms (eqs. 3 to 6)."""

    def __init__(self, features: int, radial: int, attention: bool, moves: bool) -> None:
        super().__init__()
        self.attention = attention
        self.moves = moves
        self.source = torch.nn.Linear(features, features)
        self.target = torch.nn.Linear(features, features, bias=False)
        self.length = torch.nn.Linear(radial, features, bias=False)
        self.message = torch.nn.Linear(features, features)
        self.gate = torch.nn.Linear(features, 1) if attention else torch.nn.Identity()
        last = torch.nn.Linear(features, 1)
        hidden = torch.nn.Linear(features, features)
        push = torch.nn.Sequential(hidden, torch.nn.SiLU(), last)
        self.push = push if moves else torch.nn.Identity()
        join = torch.nn.Linear(2 * features, features)
        close = torch.nn.Linear(features, features)
        self.update = torch.nn.Sequential(join, torch.nn.SiLU(), close)
        initialize(self)
        # Messages and displacements of many neighbours add up: start with small ones.
        with torch.no_grad():
            last.weight.mul_(0.01)
            join.weight[:, features:].mul_(0.1)

    def forward(
        self,
        h: Tensor,
        basis: Tensor,
        directions: Tensor,
        envelope: Tensor,
        edge_index: Tensor,
        n_out: int,
    ) -> tuple[Tensor, Tensor]:
        """Return features and displacements of the first `n_out` nodes.

        Shapes: h [M, F], basis [E, R], directions [E, 3], envelope [E, 1]; result [n_out, F] and
        [n_out, 3] (Å).
        """
        source, target = edge_index[0], edge_index[1]
        ends = self.source(h).index_select(0, source) + self.target(h).index_select(0, target)
        message = silu(self.message(silu(ends + self.length(basis))))
        if self.attention:
            message = message * torch.sigmoid(self.gate(message))
        message = message * envelope
        received = h.new_zeros([n_out, h.size(1)]).index_add(0, target, message)
        h = h[:n_out]
        moved = h.new_zeros([n_out, 3])
        if self.moves:
            pushes = directions * (self.push(message) * envelope)
            moved = moved.index_add(0, target, pushes)
        return h + self.update(torch.cat([h, received], dim=1)), moved


class EGNN(FeatureModel):
    """Messages depend on distances; each layer displaces the atoms for the next one.

    In every layer the messages have a polynomial envelope of the undisplaced distance, so that
    atoms enter and leave the neighbourhood smoothly. Distances are expanded in Gaussians, and
    displacements are along r / (1 Å + |r|), which keeps them bounded.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of one layer (Å).
        layers: number of layers.
        features: width of the atomic features.
        radial_functions: number of Gaussians that expand a distance.
        attention: weight each message by a number between 0 and 1 that is computed from it.
        dtype: float type of the weights, float32 or float64.
    """

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        layers: int = 3,
        features: int = 64,
        radial_functions: int = 20,
        attention: bool = False,
        dtype: str = "float64",
    ) -> None:
        super().__init__(
            species, cutoff, layers, features=features, radial_functions=radial_functions
        )
        # Displacements after the last layer are not used: with one layer only lengths matter.
        self.radial = layers == 1
        self.embedding = torch.nn.Embedding(len(species), features)
        self.basis = Gaussians(radial_functions, cutoff)
        self.blocks = torch.nn.ModuleList(
            Layer(features, radial_functions, attention, moves=k < layers - 1)
            for k in range(layers)
        )
        self.readout = readout(features)
        initialize(self.readout)
        self.to(float_type(dtype))

    def node_features(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        envelope = polynomial_envelope(lengths(edge_vectors), self.cutoff).unsqueeze(1)
        h: Tensor = self.embedding(species)
        vectors = edge_vectors
        for k, block in enumerate(self.blocks):
            n, nodes = edge_counts[-1 - k], node_counts[-2 - k]
            vectors, edges = vectors[:n], edge_index[:, :n]
            # Displaced atoms may coincide: the root is smooth there.
            r = torch.sqrt(vectors.square().sum(1) + 1e-4)
            directions = vectors / (1.0 + r.unsqueeze(1))
            h, moved = block(h, self.basis(r), directions, envelope[:n], edges, nodes)
            if k < self.layers - 1:
                m = edge_counts[-2 - k]
                source, target = edge_index[0, :m], edge_index[1, :m]
                vectors = (
                    vectors[:m] + moved.index_select(0, source) - moved.index_select(0, target)
                )
        return h
