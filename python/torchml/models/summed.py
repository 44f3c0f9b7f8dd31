"""A sum of potentials with cutoffs of their own, evaluated with one list of edges."""

from typing import Any, cast

import torch
from torch import Tensor

from torchml.errors import ModelError, TorchMLError
from torchml.models.base import EdgeModel
from torchml.models.dtype import network_dtype
from torchml.models.radial import lengths
from torchml.models.scaled import Scaled
from torchml.models.zbl import ZBL


class Graph(torch.nn.Module):
    """From the graph of a sum to the graph that one of its parts would get alone.

    Edges longer than the cutoff are left out; nodes and edges are sorted by the part's own shells.
    What the part does not reach is left out too.

    Args:
        cutoff: of the part (Å).
        layers: of the part.
    """

    def __init__(self, cutoff: float, layers: int) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.layers = layers

    def forward(
        self, r: Tensor, edge_index: Tensor, nodes: int, contributing: int
    ) -> tuple[Tensor, Tensor, Tensor, list[int], list[int]]:
        """Return (nodes, edges, edge_index, node_counts, edge_counts) of the part.

        Args:
            r: lengths of the edges, [E] (Å).
            edge_index: i64[2, E].
            nodes: number of nodes of the sum.
            contributing: how many of them contribute; they are the first ones.

        Returns:
            The first two are positions of the part's nodes and edges among those of the sum.
        """
        edges = torch.nonzero(r < self.cutoff).squeeze(1)
        index = edge_index.index_select(1, edges)
        if contributing == nodes:  # images are folded: there is one shell
            count = index.size(1)
            here = torch.arange(nodes, device=r.device)
            return here, edges, index, [nodes] * (self.layers + 1), [count] * self.layers
        source, target = index[0], index[1]
        beyond = self.layers + 1
        shell = torch.full([nodes], beyond, dtype=torch.int64, device=r.device)
        shell[:contributing] = 0
        for k in range(self.layers):
            reached = torch.zeros([nodes], dtype=torch.bool, device=r.device)
            reached[source.masked_select(shell.index_select(0, target) <= k)] = True
            shell = torch.where(reached, shell.clamp(max=k + 1), shell)
        edge_shell = shell.index_select(0, target)
        node_counts = self.counts(shell, self.layers + 1)
        edge_counts = self.counts(edge_shell, self.layers)
        here = torch.argsort(shell, stable=True)[: node_counts[-1]]
        order = torch.argsort(edge_shell, stable=True)[: edge_counts[-1]]
        place = torch.zeros_like(shell)
        place[here] = torch.arange(here.size(0), device=r.device)
        index = place.take(index.index_select(1, order))
        return here, edges.index_select(0, order), index, node_counts, edge_counts

    def counts(self, shell: Tensor, shells: int) -> list[int]:
        """How many lie in the shells 0..k, for each k < shells."""
        sums = torch.bincount(shell, minlength=self.layers + 2).cumsum(0)
        counts: list[int] = sums[:shells].tolist()
        return counts


class Part(torch.nn.Module):
    """One potential of a sum.

    Args:
        model: the potential.
        species: chemical symbols of the sum.
        cutoff: of the sum (Å).
    """

    __constants__ = ["exact", "filtered", "has_members", "layers"]  # noqa: RUF012  (TorchScript reads it)
    codes: Tensor
    unit: Tensor

    def __init__(self, model: EdgeModel, species: list[str], cutoff: float) -> None:
        super().__init__()
        self.model = model
        self.graph = Graph(model.cutoff, model.layers)
        self.layers = model.layers
        self.filtered = model.cutoff < cutoff
        self.exact = model.exact_distances
        self.has_members = model.members > 0
        if missing := [symbol for symbol in species if symbol not in model.species]:
            raise TorchMLError(
                f"the part '{model.label}' of a sum does not know {' '.join(missing)}, expected a "
                f"potential for all of {' '.join(species)}"
            )
        codes = [model.species.index(symbol) for symbol in species]
        self.register_buffer("codes", torch.tensor(codes))
        # A divisor, see `Sum.set_scale`, in the float type of the edge vectors that the part takes.
        self.register_buffer("unit", torch.ones((), dtype=network_dtype(model) or torch.float64))

    def forward(
        self,
        species: Tensor,
        r: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        """Return the energies of the contributing nodes in float64, [node_counts[0]] (eV).

        Args:
            r: lengths of the edges, [E] (Å); the others are as for `EdgeModel.forward`.
        """
        energies: Tensor = self.model(
            *self.inputs(species, r, edge_vectors, edge_index, node_counts, edge_counts)
        )
        return energies[: node_counts[0]].to(torch.float64)

    def member_energies(
        self,
        species: Tensor,
        r: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> list[Tensor]:
        """Return the energies by each member of a committee; arguments are as for `forward`."""
        members: list[Tensor] = self.model.member_energies(
            *self.inputs(species, r, edge_vectors, edge_index, node_counts, edge_counts)
        )
        return [one.to(torch.float64) for one in members]

    def inputs(
        self,
        species: Tensor,
        r: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> tuple[Tensor, Tensor, Tensor, list[int], list[int]]:
        """Return the arguments of the part, as it would get them alone."""
        species = self.codes.index_select(0, species)
        if not self.exact:
            edge_vectors = edge_vectors.to(self.unit.dtype)
        if self.filtered:
            nodes, edges, edge_index, node_counts, edge_counts = self.graph(
                r, edge_index, species.size(0), node_counts[0]
            )
            species = species.index_select(0, nodes)
            edge_vectors = edge_vectors.index_select(0, edges)
        else:
            node_counts = node_counts[: self.layers + 1]
            edge_counts = edge_counts[: self.layers]
            species = species[: node_counts[-1]]
            edge_vectors = edge_vectors[: edge_counts[-1]]
            edge_index = edge_index[:, : edge_counts[-1]]
        return species, edge_vectors, edge_index, node_counts, edge_counts


class Sum(EdgeModel):
    """The sum of several potentials, in float64.

    The cutoff is the largest of the parts. Each part gets the edges, and the shells, that it would
    get alone. Every part must know the elements of the first one; the order of the elements may
    differ.

    In a training the network learns what the other parts leave: its output is scaled and the
    energies of the elements are added, while parts in eV (`ZBL`, `D3`, and models that are `Scaled`
    already) stay as they are.

    Args:
        parts: the potentials.
        names: of the parts, for `part_energies`; None takes `model`, `zbl`, `d3` and so on.

    Raises:
        TorchMLError: there is no part, or a part lacks an element of the first one.

    Attributes:
        scale: cutoff of the first part (Å), the length of typical structures for checks.
    """

    label = "sum"

    def __init__(self, parts: list[EdgeModel], names: list[str] | None = None) -> None:
        if len(parts) == 0:
            raise TorchMLError("Sum: there are no parts, expected at least one potential")
        species = parts[0].species
        cutoffs = _shell_cutoffs(parts)
        cutoff = cutoffs[0]
        super().__init__(species, cutoff, len(cutoffs))
        self.cutoffs = cutoffs
        self.names = list(names) if names is not None else _names(parts)
        if len(self.names) != len(parts) or len(set(self.names)) != len(parts):
            raise TorchMLError(
                f"Sum: the names are {self.names!r}, expected {len(parts)} different ones"
            )
        # No annotation: TorchScript warns of those that it finds in constructors.
        self.parts = cast(Any, torch.nn.ModuleList(Part(part, species, cutoff) for part in parts))
        self.scale = parts[0].cutoff
        self.radial = all(part.radial for part in parts)
        self.exact_distances = any(part.exact for part in self.parts)
        self.physical = all(part.physical for part in parts)
        committees = [part.members for part in parts if part.members]
        self.members = committees[0] if len(committees) == 1 else 0

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        energies = self.part_energies(species, edge_vectors, edge_index, node_counts, edge_counts)
        units = torch.stack([part.unit.to(torch.float64) for part in self.parts])
        total = (energies / units.unsqueeze(1)).sum(0)
        return torch.nn.functional.pad(total, [0, species.size(0) - total.size(0)])

    @torch.jit.export
    def part_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        """Return the energies of each part, in the order of `names`, of the contributing nodes.

        Args:
            species: as in `forward`, like the other arguments.

        Returns:
            float64[parts, node_counts[0]] (eV).
        """
        r = lengths(edge_vectors)
        energies = [
            part(species, r, edge_vectors, edge_index, node_counts, edge_counts)
            for part in self.parts
        ]
        return torch.stack(energies)

    def member_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> list[Tensor]:
        """Return those of the part that is a committee, each with the energies of the others."""
        r = lengths(edge_vectors)
        members: list[Tensor] = []
        others = torch.zeros([node_counts[0]], dtype=torch.float64, device=species.device)
        for part in self.parts:
            if part.has_members:
                members = [
                    one / part.unit.to(torch.float64)
                    for one in part.member_energies(
                        species, r, edge_vectors, edge_index, node_counts, edge_counts
                    )
                ]
            else:
                energies = part(species, r, edge_vectors, edge_index, node_counts, edge_counts)
                others = others + energies / part.unit.to(torch.float64)
        return [one + others for one in members]

    def shell_cutoffs(self) -> list[float]:
        return list(self.cutoffs)

    def models(self) -> list[EdgeModel]:
        """Return the potentials."""
        return [part.model for part in self.parts]

    def set_scale(self, scale: float) -> None:
        for part in self.parts:
            if part.model.physical:
                part.unit.fill_(scale)

    def calibrate(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> None:
        r = lengths(edge_vectors)
        for part in self.parts:
            part.model.calibrate(
                *part.inputs(species, r, edge_vectors, edge_index, node_counts, edge_counts)
            )

    def take_all_edges(self) -> None:
        """Give all edges to each part, so that no size depends on the positions.

        Raises:
            ModelError: a part with a shorter cutoff would waste time with them.
        """
        for part in self.parts:
            if isinstance(part.model, ZBL):  # one exponential more for each edge
                part.filtered = False
        cutoffs = [f"{part.model.cutoff:g}" for part in self.parts if part.filtered]
        if cutoffs:
            raise ModelError(
                f"the parts of this sum have cutoffs of their own ({' '.join(cutoffs)} Å beside "
                f"{self.cutoff:g} Å), so that the number of their edges depends on the positions, "
                "which compiled archives do not support; expected the format 'torchscript'"
            )


def unfolded(model: EdgeModel) -> EdgeModel:
    """Return a trained sum as a sum of models in eV, the same function; others unchanged."""
    if not (isinstance(model, Scaled) and isinstance(model.network, Sum)):
        return model
    total = model.network
    parts = total.models()
    learned = [k for k, part in enumerate(parts) if not part.physical]
    if not learned:
        return model
    for k in learned:
        part = Scaled(parts[k])
        part.scale.copy_(model.scale)
        if k == learned[0]:
            codes = [model.species.index(symbol) for symbol in part.species]
            part.references.copy_(model.references[codes])
        parts[k] = part
    return Sum(parts, total.names).train(model.training)


def _shell_cutoffs(parts: list[EdgeModel]) -> list[float]:
    """The lengths that the edges into each shell of the sum need.

    A shell of the sum holds all atoms that a part reaches by hops of the same length together. Into
    the shells that lie as far as the part's atoms, the edges are as long as the part wants.
    """
    lengths = [part.shell_cutoffs() for part in parts]
    cutoffs = [max(one[0] for one in lengths)]
    before = [0] * len(parts)  # hops of each part within the shells before the last one
    while True:
        hops = [_hops(one, k, cutoffs[-1]) for one, k in zip(lengths, before, strict=True)]
        wanted = [one[k + 1] for one, k in zip(lengths, before, strict=True) if k + 1 < len(one)]
        if not wanted:
            return cutoffs
        cutoffs.append(max(wanted))
        before = hops


def _hops(lengths: list[float], start: int, reach: float) -> int:
    """How many hops of a part, the first ones included, lie within one more hop of the sum."""
    end = start
    while end < len(lengths) and sum(lengths[start : end + 1]) <= reach:
        end += 1
    return end


def _names(parts: list[EdgeModel]) -> list[str]:
    """The labels of the parts, with a number from the second of the same label on."""
    names: list[str] = []
    for part in parts:
        label = part.label
        taken = sum(name.rstrip("0123456789") == label for name in names)
        names.append(label if taken == 0 else f"{label}{taken + 1}")
    return names
