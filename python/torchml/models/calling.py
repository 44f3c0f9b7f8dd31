"""A network in Python with the `forward` of a calling convention; `scripting` makes TorchScript.

`torch.export` and the checks of an export call it, so that neither needs TorchScript.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchml.contract.signature import SHELL_COUNTS, Signature, float_types
from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel
from torchml.models.descriptor_potential import energies_of


class Called(torch.nn.Module):
    """A network as a simulator calls it.

    Args:
        model: the network.
        convention: raw, graph, edges or descriptor.

    Raises:
        TorchMLError: the model does not fit the convention.

    Attributes:
        argument_names: of `forward`.
    """

    def __init__(self, model: EdgeModel, convention: str) -> None:
        super().__init__()
        require_convention(model, convention)
        self.convention = convention
        self.layers = model.layers
        self.model = energies_of(model) if convention == "descriptor" else model
        self.argument_names = _argument_names(convention, model.layers)

    def forward(self, *inputs: Any) -> Tensor:
        """Return the energies (eV) of the particles; of the convention `descriptor`, of the atoms.

        Args:
            inputs: those of the convention, in its order; a list of counts holds whole numbers.
        """
        if self.convention == "descriptor":
            return self._of_descriptor(*inputs)
        if self.convention == "edges":
            return self._of_edges(*inputs)
        if self.convention == "graph":
            return self._of_stages(*inputs)
        return self._of_neighbors(*inputs)

    @property
    def signature(self) -> Signature:
        """The signature that the TorchScript of this network has."""
        return Signature(
            arguments=self.argument_names,
            types=tuple(
                "List[int]" if one in SHELL_COUNTS else "Tensor" for one in self.argument_names
            ),
            outputs=("Tensor",),
            dtypes=tuple(float_types(self)),
        )

    def _of_descriptor(self, descriptor: Tensor, species: Tensor) -> Tensor:
        energies: Tensor = self.model(descriptor, species)
        return energies

    def _of_edges(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        contributing: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        energies: Tensor = self.model(species, edge_vectors, edge_index, node_counts, edge_counts)
        return energies

    def _of_stages(self, species: Tensor, coords: Tensor, *others: Tensor) -> Tensor:
        *stages, _ = others  # the last one says which particles contribute
        return self._of_coordinates(species, coords, stages[-1], [one.size(1) for one in stages])

    def _of_neighbors(
        self,
        species: Tensor,
        coords: Tensor,
        n_neigh: Tensor,
        nlist: Tensor,
        contributing: Tensor,
    ) -> Tensor:
        # The contributing ones first, in their order: no size depends on the flags.
        owners = torch.argsort(contributing != 1, stable=True)[: n_neigh.size(0)]
        target = torch.repeat_interleave(owners, n_neigh.to(torch.int64), output_size=nlist.size(0))
        edges = torch.stack([nlist.to(torch.int64), target])
        return self._of_coordinates(species, coords, edges, [nlist.size(0)])

    def _of_coordinates(
        self, species: Tensor, coords: Tensor, edges: Tensor, edge_counts: list[int]
    ) -> Tensor:
        vectors = coords.index_select(0, edges[0]) - coords.index_select(0, edges[1])
        node_counts = [coords.size(0)] * (self.layers + 1)
        energies: Tensor = self.model(species, vectors, edges, node_counts, edge_counts)
        return energies


def require_convention(model: EdgeModel, convention: str) -> None:
    """Raise an error if a model cannot be called by a convention."""
    if convention == "descriptor":
        energies_of(model)  # raises for models of edges
    elif model.convention == "descriptor":
        raise TorchMLError(
            f"a model of descriptors cannot be exported for the convention '{convention}', "
            "expected 'descriptor'"
        )
    elif convention in ("raw", "none"):  # the second is the older name
        if model.layers != 1:
            raise TorchMLError(
                f"the convention 'raw' is for models of one layer, but this model has "
                f"{model.layers}; use 'graph' or 'edges'"
            )
    elif convention not in ("graph", "edges"):
        raise TorchMLError(
            f"a model cannot be exported for the convention '{convention}'; "
            "expected 'raw', 'graph', 'edges' or 'descriptor'"
        )


def holds_torchscript(model: torch.nn.Module) -> bool:
    """Whether a part of a model is TorchScript already, such as an archive in a sum."""
    return any(isinstance(module, torch.jit.ScriptModule) for module in model.modules())


def _argument_names(convention: str, layers: int) -> tuple[str, ...]:
    if convention == "descriptor":
        return ("descriptor", "species")
    if convention == "edges":
        return ("species", "edge_vectors", "edge_index", "contributing", *SHELL_COUNTS)
    if convention == "graph":
        return ("species", "coords", *(f"edge_index{k}" for k in range(layers)), "contributing")
    return ("species", "coords", "n_neigh", "nlist", "contributing")
