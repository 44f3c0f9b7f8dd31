"""Several potentials that were trained alike: their mean, and how much they differ."""

from typing import Any, cast

import torch
from torch import Tensor

from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel
from torchml.models.radial import lengths
from torchml.models.summed import Part, Sum


class Committee(EdgeModel):
    """The mean of several potentials, in float64.

    All members get the same edges, so they must have the same cutoffs and layers. They must know
    the same elements, whose order may differ.

    Args:
        members: the potentials, in eV.
        names: of the members, for reports; None numbers them.

    Raises:
        TorchMLError: there are less than two members, or they differ in elements or cutoffs.

    Attributes:
        members: their number.
        scale: the length of typical structures for checks (Å): of a `Sum` its own, else the cutoff.
    """

    label = "committee"
    physical = True

    def __init__(self, members: list[EdgeModel], names: list[str] | None = None) -> None:
        if len(members) < 2:
            raise TorchMLError(f"Committee: members are {len(members)}, expected at least two")
        first = members[0]
        self.require_alike(members)
        super().__init__(first.species, first.cutoff, first.layers)
        self.members = len(members)
        self.names = names or [f"member {k + 1}" for k in range(len(members))]
        self.cutoffs = first.shell_cutoffs()
        self.scale = first.scale if isinstance(first, Sum) else first.cutoff
        # No annotation: TorchScript warns of those that it finds in constructors.
        self.parts = cast(
            Any, torch.nn.ModuleList(Part(one, first.species, first.cutoff) for one in members)
        )
        self.radial = all(one.radial for one in members)
        self.exact_distances = any(part.exact for part in self.parts)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        members = self.member_energies(species, edge_vectors, edge_index, node_counts, edge_counts)
        mean = torch.stack(members).mean(0)
        return torch.nn.functional.pad(mean, [0, species.size(0) - mean.size(0)])

    def member_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> list[Tensor]:
        r = lengths(edge_vectors)
        return [
            part(species, r, edge_vectors, edge_index, node_counts, edge_counts)
            for part in self.parts
        ]

    def shell_cutoffs(self) -> list[float]:
        return list(self.cutoffs)

    def models(self) -> list[EdgeModel]:
        """Return the potentials."""
        return [part.model for part in self.parts]

    @staticmethod
    def require_alike(members: list[EdgeModel], names: list[str] | None = None) -> None:
        """Raise an error that names the first member that differs in elements or cutoffs.

        Args:
            members: the potentials.
            names: of the potentials, for the error.
        """
        names = names or [f"member {k + 1}" for k in range(len(members))]
        for name, one in zip(names[1:], members[1:], strict=True):
            for fact, of in (("elements", _elements), ("cutoffs", _cutoffs)):
                if (here := of(one)) != (there := of(members[0])):
                    raise TorchMLError(
                        f"{name} has the {fact} {here}, but {names[0]} has {there}, expected the "
                        f"same {fact} of all members of a committee"
                    )


def _elements(model: EdgeModel) -> str:
    return " ".join(sorted(model.species))


def _cutoffs(model: EdgeModel) -> str:
    return " ".join(f"{length:g}" for length in model.shell_cutoffs()) + " Å"
