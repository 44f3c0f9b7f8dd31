"""A trainable model: the descriptors of the C++ library, and one network per element."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from torchml.descriptors import Descriptor, Environments
from torchml.descriptors.autograd import descriptor_values
from torchml.descriptors.files import from_dict
from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel, per_node
from torchml.models.descriptor_network import ElementNetworks
from torchml.models.scaled import Scaled


class DescriptorPotential(EdgeModel):
    """A descriptor of the neighbourhood of each atom, and a network for each element.

    TorchScript cannot call the C++ function of the descriptor: this model is exported for the
    convention `descriptor`, where the driver computes it.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of the neighbourhood (Å).
        descriptor: kind of the descriptor.
        parameters: the name of a preset, or the value of `parameters` in the YAML file of a
            descriptor; None: the defaults of the kind, for symmetry functions set51.
        hidden: widths of the hidden layers.
        dtype: float type of the weights, float32 or float64.
    """

    convention = "descriptor"

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        descriptor: Literal["SymmetryFunctions", "Bispectrum", "SOAP", "Xi"] = "SymmetryFunctions",
        parameters: str | dict[str, Any] | None = None,
        hidden: list[int] = [32, 32],  # noqa: B006  (copied, and readable in YAML)
        dtype: str = "float64",
    ) -> None:
        super().__init__(species, cutoff, layers=1)
        self.descriptor = Descriptor(
            from_dict(
                {
                    "kind": descriptor,
                    "species": list(species),
                    "cutoff": cutoff,
                    "parameters": parameters,
                }
            )
        )
        self.width = self.descriptor.width
        self.networks = ElementNetworks(self.width, len(species), hidden, dtype=dtype)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        values = self._values(species, edge_vectors, edge_index, node_counts, edge_counts)
        energies: Tensor = self.networks(values, species[: node_counts[0]])
        return per_node(energies.unsqueeze(1), species)

    def node_features(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        return self.networks.normalized(
            self._values(species, edge_vectors, edge_index, node_counts, edge_counts)
        )

    def calibrate(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> None:
        """Shift and scale the descriptor to mean 0 and deviation 1 over these atoms."""
        values = self._values(species, edge_vectors, edge_index, node_counts, edge_counts)
        self.networks.fit_normalization(values)

    def _values(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        """Return the descriptors of the first node_counts[0] nodes: [n, width]."""
        atoms, edges = node_counts[0], edge_counts[0]
        source, target = edge_index[:, :edges]
        order = torch.argsort(target, stable=True)
        codes = species.to("cpu", torch.int32).numpy()
        sources = source.index_select(0, order).cpu().numpy()
        vectors = edge_vectors.index_select(0, order)
        counts = torch.bincount(target, minlength=atoms).cpu().numpy()
        environments = Environments(
            centers=np.arange(atoms),
            center_species=codes[:atoms],
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            neighbors=sources,
            neighbor_species=codes[sources],
            vectors=vectors.detach().to("cpu", torch.float64).numpy(),
            shifts=np.zeros((edges, 3)),
            atoms=len(codes),
        )
        values = descriptor_values(self.descriptor, environments, vectors, quick=True)
        return values.to(self.networks.mean.dtype)


class DescriptorEnergies(torch.nn.Module):
    """The exported module, called with the descriptor: networks, scale, element energies."""

    scale: Tensor
    references: Tensor

    def __init__(self, networks: ElementNetworks, scale: Tensor, references: Tensor) -> None:
        super().__init__()
        self.networks = networks
        self.register_buffer("scale", scale)
        self.register_buffer("references", references)

    def forward(self, descriptor: Tensor, species: Tensor) -> Tensor:
        """Return the energies of the atoms (eV): [n, width] and codes i64[n] -> f64[n]."""
        energies: Tensor = self.networks(descriptor, species)
        return energies.to(torch.float64) * self.scale + self.references.index_select(0, species)


def descriptor_potential(model: EdgeModel) -> DescriptorPotential:
    """Return the descriptor model, which may be inside Scaled; another model is an error."""
    network = model.network if isinstance(model, Scaled) else model
    if isinstance(network, DescriptorPotential):
        return network
    raise TorchMLError(
        f"{type(network).__name__} takes edges and not a descriptor, expected another convention: "
        "'edges', 'graph' or, without message passing, 'none'"
    )


def energies_of(model: EdgeModel) -> DescriptorEnergies:
    """Return the part of a descriptor model that follows the descriptor."""
    network = descriptor_potential(model)
    scaled = model if isinstance(model, Scaled) else Scaled(network)
    return DescriptorEnergies(network.networks, scaled.scale, scaled.references)
