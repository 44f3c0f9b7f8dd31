"""Members that share a network but for its last, linear layer: draws from a posterior."""

import copy

import torch
from torch import Tensor

from torchml.errors import TorchMLError
from torchml.models.around import Around
from torchml.models.base import EdgeModel


class Posterior(Around):
    """A network, and members whose last layers are drawn around its own.

    The energies are those of the network. The features on which the last layer works are computed
    once for all members.

    Args:
        network: a model with a last, linear layer.
        members: how many are drawn, at least two.

    Raises:
        TorchMLError: the last layer is not linear, or there are less than two members.

    Attributes:
        draws: what each member adds to the last weights, float[P, members]; their mean is zero.
    """

    draws: Tensor

    def __init__(self, network: EdgeModel, members: int = 8) -> None:
        super().__init__(network)
        weights = network.last_weights()
        if not weights:
            raise TorchMLError(
                f"{type(network).__name__} has no last, linear layer whose weights could be drawn, "
                "expected ACE, DimeNetPP, EGNN, GAANet, GCN, PaiNN, SchNet or TensorNet"
            )
        if members < 2:
            raise TorchMLError(f"Posterior: members is {members}, expected at least 2")
        self.members = int(members)
        count = sum(weight.numel() for weight in weights)
        self.register_buffer("draws", weights[0].new_zeros(count, members, requires_grad=False))

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        energies: Tensor = self.network(species, edge_vectors, edge_index, node_counts, edge_counts)
        return energies

    def member_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> list[Tensor]:
        energies: Tensor = self.network.drawn_energies(
            species, edge_vectors, edge_index, node_counts, edge_counts, self.draws
        )
        return list(energies.unbind(1))

    @torch.jit.unused
    def for_simulation(self) -> EdgeModel:
        fast = self.network.for_simulation()
        if fast is self.network:
            return self
        draws = self.draws.unbind(1)
        return fast.with_members([shifted(self.network, one).for_simulation() for one in draws])

    @torch.jit.unused
    def set_scale(self, scale: float) -> None:
        self.network.set_scale(scale)


@torch.no_grad()
def shifted(network: EdgeModel, shift: Tensor) -> EdgeModel:
    """Return a copy whose last weights are others.

    Args:
        network: a model with a last, linear layer.
        shift: what is added to the weights, [P].
    """
    network = copy.deepcopy(network)
    weights = network.last_weights()
    parts = shift.split([weight.numel() for weight in weights])
    for weight, part in zip(weights, parts, strict=True):
        weight.add_(part.view_as(weight))
    return network
