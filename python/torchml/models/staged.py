"""A network of the calling convention `graph`, with the facts that training needs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from torchml.errors import TorchMLError
from torchml.models.calling import Called

if TYPE_CHECKING:
    from torchml.data.batch import GraphBatch


class StagedModel(torch.nn.Module):
    """A network that takes staged graphs, as networks for KLIFF do.

    `forward(species or z, coordinates, edge_index0, ..., edge_index{n-1}, contributing)` returns
    the energy of each configuration, of each atom, or of each node. In a batch, `contributing` is
    2 g for the atoms and 2 g + 1 for the ghosts of configuration g. It is trained on
    staged graphs with symmetric edges, like those of a simulator, and exported unchanged.

    Args:
        network: the module; its dtype is kept.
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of one convolution (Å).
        layers: number of convolutions, and of edge lists.
        species_input: whether the first argument is species codes or atomic numbers; None: atomic
            numbers if its name is z or atomic_numbers, else codes.

    Attributes:
        needs_script: whether a checkpoint must contain the network as TorchScript.
        has_normalization: whether `set_normalization` has an effect; else energies are in eV.
        scale: energy (eV) in whose units losses are.
        details: plain values that a checkpoint contains about the network.
    """

    needs_script: ClassVar[bool] = True
    has_normalization: ClassVar[bool] = False
    scale: Tensor | float = 1.0
    details: dict[str, Any]

    def __init__(
        self,
        network: torch.nn.Module,
        species: list[str],
        cutoff: float,
        layers: int,
        species_input: Literal["code", "atomic_number"] | None = None,
    ) -> None:
        super().__init__()
        names = argument_names(network)
        if len(names) != 3 + layers:
            raise TorchMLError(
                f"forward of {type(network).__name__} takes {' '.join(names)}, expected "
                f"{3 + layers} arguments: species or z, coordinates, one list of edges for each of "
                f"{layers} layers, contributing"
            )
        self.network = network
        self.species = list(species)
        self.cutoff = float(cutoff)
        self.layers = int(layers)
        by_name = "atomic_number" if names[0] in ("z", "atomic_numbers") else "code"
        self.species_input = species_input or by_name
        self.details = {}

    @property
    def exported_layers(self) -> int:
        """Number of lists of edges that `compiled` takes."""
        return self.layers

    def forward(
        self, species: Tensor, coordinates: Tensor, stages: list[Tensor], contributing: Tensor
    ) -> Tensor:
        energy: Tensor = self.network(species, coordinates, *stages, contributing)
        return energy

    def of_batch(self, batch: GraphBatch) -> Tensor:
        """Return the energies of a batch: of its configurations, its atoms, or its nodes."""
        assert batch.coordinates is not None and batch.contributing is not None
        return self(batch.species, batch.coordinates, batch.stages, batch.contributing)  # type: ignore[no-any-return]

    def set_normalization(self, references: Mapping[str, float], scale: float) -> None:
        """Set the energies of the elements and the scale, as `Scaled` does."""
        raise NotImplementedError

    def compiled(self) -> torch.jit.ScriptModule:
        """Return the network as TorchScript, as a simulator calls it.

        Raises:
            Exception: TorchScript cannot compile the network.
        """
        if isinstance(self.network, torch.jit.ScriptModule):
            return self.network
        return torch.jit.script(self.network)


def argument_names(network: torch.nn.Module) -> list[str]:
    """Return the names of the arguments of `forward`, of Python modules and of TorchScript."""
    if isinstance(network, Called):
        return list(network.argument_names)
    if isinstance(network, torch.jit.ScriptModule):
        schema = network.forward.schema  # type: ignore[attr-defined]
        return [argument.name for argument in schema.arguments][1:]  # the first is self
    return list(inspect.signature(network.forward).parameters)
