"""A model around a network, whose facts and features it has."""

from torch import Tensor

from torchml.models.base import EdgeModel


class Around(EdgeModel):
    """A base class of models that change the energies of a network, not what it looks at.

    Subclasses implement `forward`, and set what differs from the network.

    Args:
        network: the model inside.
    """

    def __init__(self, network: EdgeModel) -> None:
        super().__init__(network.species, network.cutoff, network.layers)
        self.network = network
        self.radial = network.radial
        self.width = network.width
        self.convention = network.convention
        self.exact_distances = network.exact_distances
        self.physical = network.physical
        self.members = network.members
        self.label = network.label
        self.learning_rate = network.learning_rate
        self.varying = network.varying

    def node_features(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        features: Tensor = self.network.node_features(
            species, edge_vectors, edge_index, node_counts, edge_counts
        )
        return features

    def shell_cutoffs(self) -> list[float]:
        return self.network.shell_cutoffs()
