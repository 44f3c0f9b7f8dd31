"""A network whose output is scaled and added to the energies of the elements."""

from collections.abc import Mapping

import torch
from torch import Tensor

from torchml.errors import TorchMLError
from torchml.models.around import Around
from torchml.models.base import EdgeModel


class Scaled(Around):
    """reference[element] + scale * network, in float64.

    Total energies are large and their differences small: the sum is float64 also for a network in
    float32.

    Args:
        network: a model whose energies are of the order of one.
    """

    scale: Tensor
    references: Tensor

    def __init__(self, network: EdgeModel) -> None:
        super().__init__(network)
        self.physical = True
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        references = torch.zeros(len(network.species), dtype=torch.float64)
        self.register_buffer("references", references)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        energies: Tensor = self.network(species, edge_vectors, edge_index, node_counts, edge_counts)
        return energies.to(torch.float64) * self.scale + self.references.index_select(0, species)

    def member_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> list[Tensor]:
        members: list[Tensor] = self.network.member_energies(
            species, edge_vectors, edge_index, node_counts, edge_counts
        )
        references = self.references.index_select(0, species[: node_counts[0]])
        return [one.to(torch.float64) * self.scale + references for one in members]

    @torch.jit.unused
    def for_simulation(self) -> EdgeModel:
        network = self.network.for_simulation()
        if network is self.network:
            return self
        model = Scaled(network)
        model.scale.copy_(self.scale)
        model.references.copy_(self.references)
        return model.train(self.training)

    @torch.jit.unused
    def set_normalization(self, references: Mapping[str, float], scale: float) -> None:
        """Set the energies of the elements and the scale.

        Args:
            references: energies by chemical symbol (eV).
            scale: factor of the output of the network (eV).

        Raises:
            TorchMLError: an element of the network has no reference energy.
        """
        if missing := sorted(set(self.species) - set(references)):
            raise TorchMLError(f"there is no reference energy of {' '.join(missing)}")
        with torch.no_grad():
            self.scale.fill_(float(scale))
            self.network.set_scale(float(scale))
            values = [references[symbol] for symbol in self.species]
            self.references.copy_(torch.tensor(values, dtype=torch.float64))
