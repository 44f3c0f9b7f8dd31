"""A TorchScript archive of the convention `edges` as a model, to be a part of a sum."""

import torch
from ase.data import atomic_numbers
from torch import Tensor

from torchml.contract.metadata import ModelMetadata
from torchml.errors import ModelError
from torchml.models.base import EdgeModel


class Archived(EdgeModel):
    """The network of an archive, in its own float type.

    Args:
        module: TorchScript, in evaluation mode.
        facts: its metadata, complete.
        counts: `forward` takes the numbers of nodes and edges in the shells.

    Raises:
        ModelError: the archive is of another convention, or returns no energy of each particle.
    """

    __constants__ = ["counts"]  # noqa: RUF012  (TorchScript reads it)
    physical = True
    codes: Tensor

    def __init__(self, module: torch.jit.ScriptModule, facts: ModelMetadata, counts: bool) -> None:
        if facts.convention != "edges" or facts.returns_forces:
            returned = " and returns derivatives" if facts.returns_forces else ""
            raise ModelError(
                f"the archive follows the convention '{facts.convention}'{returned}, expected "
                "'edges' and energies alone, or a checkpoint, as a part of a sum"
            )
        species = list(facts.species or ())
        super().__init__(species, facts.cutoff or 0.0, facts.layers or 1)
        self.radial = bool(facts.radial)
        self.exact_distances = facts.input_dtype == "float64"
        self.counts = counts
        self.members = facts.members or 0
        self.module = module
        by_number = facts.species_input == "atomic_number"
        codes = [atomic_numbers[one] if by_number else k for k, one in enumerate(species)]
        self.register_buffer("codes", torch.tensor(codes))
        self._require_energies(getattr(torch, facts.input_dtype or facts.dtype or "float64"))

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        codes = self.codes.index_select(0, species)
        contributing = self.contributing(species, node_counts[0])
        if self.counts:
            energies: Tensor = self.module(
                codes, edge_vectors, edge_index, contributing, node_counts, edge_counts
            )
        else:
            energies = self.module(codes, edge_vectors, edge_index, contributing)
        return energies.flatten()

    def member_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> list[Tensor]:
        members: list[Tensor] = self.module.member_energies(
            self.codes.index_select(0, species),
            edge_vectors,
            edge_index,
            self.contributing(species, node_counts[0]),
            node_counts,
            edge_counts,
        )
        return members

    def contributing(self, species: Tensor, count: int) -> Tensor:
        """Return the argument of the convention: 0 for the first nodes, 1 for ghosts."""
        ghost = torch.arange(species.size(0), device=species.device) >= count
        return ghost.to(torch.int64)

    @torch.jit.unused
    def _require_energies(self, dtype: torch.dtype) -> None:
        """Three particles, two of which contribute."""
        layers, distance = self.layers, 0.7 * self.cutoff
        vectors = distance * torch.tensor([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0]], dtype=dtype)
        index = torch.tensor([[1, 0, 2], [0, 1, 0]])
        species = torch.zeros(3, dtype=torch.int64)
        counts = [2, *[3] * layers], [3] * layers
        size = self(species, vectors, index, *counts).numel()
        if size != 3:
            raise ModelError(
                f"the archive returns {size} energies for three particles, two of which "
                "contribute, expected one for each particle as a part of a sum"
            )
