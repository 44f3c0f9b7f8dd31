"""A network of the calling convention `graph`, with the facts that training needs."""

from __future__ import annotations

import inspect
from typing import Literal

import torch
from torch import Tensor

from torchml.errors import TorchMLError


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
    """

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

    def forward(
        self, species: Tensor, coordinates: Tensor, stages: list[Tensor], contributing: Tensor
    ) -> Tensor:
        energy: Tensor = self.network(species, coordinates, *stages, contributing)
        return energy


def argument_names(network: torch.nn.Module) -> list[str]:
    """Return the names of the arguments of `forward`, of Python modules and of TorchScript."""
    if isinstance(network, torch.jit.ScriptModule):
        schema = network.forward.schema  # type: ignore[attr-defined]
        return [argument.name for argument in schema.arguments][1:]  # the first is self
    return list(inspect.signature(network.forward).parameters)
