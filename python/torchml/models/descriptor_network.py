"""Networks on descriptors: the energy of an atom from the descriptor of its environment.

J. Behler and M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007). Both classes are scripted with
torch.jit.script and exported under the calling convention `descriptor`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from torchml.errors import TorchMLError
from torchml.models.base import float_type, require_positive
from torchml.models.input_scaling import standardization
from torchml.models.perceptron import initialize, perceptron


class _Normalized(torch.nn.Module):
    """Scale descriptors to mean 0 and standard deviation 1 over the training data."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        require_positive(self, width=width)
        self.width = width
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(width, dtype=torch.float64))

    def normalized(self, descriptor: Tensor) -> Tensor:
        return (descriptor - self.mean) * self.scale

    @torch.jit.unused
    def fit_normalization(self, descriptor: Tensor) -> None:
        """Set mean and scale from training data.

        Args:
            descriptor: descriptors of n atoms, float[n, width].

        Raises:
            TorchMLError: the shape is wrong, or there are no atoms.
        """
        if descriptor.dim() != 2 or descriptor.size(1) != self.width or descriptor.size(0) == 0:
            raise TorchMLError(
                f"{type(self).__name__}: descriptors have the shape {list(descriptor.shape)}, "
                f"expected [atoms, {self.width}]"
            )
        mean, scale = standardization(descriptor)
        self.mean.copy_(mean)
        self.scale.copy_(scale)


class DescriptorNetwork(_Normalized):
    """One network for the atoms of all elements: `forward(descriptor)`.

    Args:
        width: components of the descriptor.
        hidden: widths of the hidden layers.
        reference: constant that is added to the energy of each atom (eV).
        dtype: float type of the weights, float32 or float64.
    """

    reference: Tensor

    def __init__(
        self,
        width: int,
        hidden: Sequence[int] = (32, 32),
        reference: float = 0.0,
        dtype: str = "float64",
    ) -> None:
        super().__init__(width)
        for size in hidden:
            require_positive(self, hidden=size)
        self.register_buffer("reference", torch.tensor(float(reference), dtype=torch.float64))
        self.network = perceptron(width, *hidden, 1)
        initialize(self)
        self.to(float_type(dtype))

    def forward(self, descriptor: Tensor) -> Tensor:
        """Return the energies of the atoms (eV): [n, width] -> [n]."""
        energies: Tensor = self.network(self.normalized(descriptor))
        return energies.squeeze(1) + self.reference


class ElementNetworks(_Normalized):
    """One network per element: `forward(descriptor, species)`.

    Args:
        width: components of the descriptor.
        elements: number of elements.
        hidden: widths of the hidden layers.
        references: constant of each element that is added to the energy of its atoms (eV);
            None: 0.
        dtype: float type of the weights, float32 or float64.
    """

    references: Tensor

    def __init__(
        self,
        width: int,
        elements: int,
        hidden: Sequence[int] = (32, 32),
        references: Sequence[float] | None = None,
        dtype: str = "float64",
    ) -> None:
        super().__init__(width)
        require_positive(self, elements=elements)
        for size in hidden:
            require_positive(self, hidden=size)
        energies = [0.0] * elements if references is None else list(references)
        if len(energies) != elements:
            raise TorchMLError(
                f"ElementNetworks: references are {len(energies)} numbers, expected {elements}"
            )
        self.register_buffer("references", torch.tensor(energies, dtype=torch.float64))
        self.networks = torch.nn.ModuleList(perceptron(width, *hidden, 1) for _ in range(elements))
        initialize(self)
        self.to(float_type(dtype))

    def forward(self, descriptor: Tensor, species: Tensor) -> Tensor:
        """Return the energies of the atoms (eV): [n, width] and codes i64[n] -> [n]."""
        inputs = self.normalized(descriptor)
        energies = self.references.index_select(0, species)
        for code, network in enumerate(self.networks):
            atoms = torch.nonzero(species == code).squeeze(1)
            own = network(inputs.index_select(0, atoms)).squeeze(1)
            energies = energies.index_add(0, atoms, own)
        return energies
