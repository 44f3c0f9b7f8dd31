"""Atoms closer than any training data: distances within which nuclei repel each other."""

import torch
from ase.data import atomic_numbers, covalent_radii
from torch import Tensor

from torchml.models.exact import Exact
from torchml.models.radial import lengths, smooth_step
from torchml.models.zbl import DECAYS, OUTER, WEIGHTS, charge_and_decay, screened

# A core is the shortest distance in the training data, but at most this part of the sum of the
# covalent radii.
_LARGEST = 0.85


class Cores(Exact):
    """The universal repulsion of nuclei (see `ZBL`) in the cores of pairs of elements.

    It is full below 3/4 of a core and falls to nothing at its end, where value, slope and
    curvature vanish: just as neighbours fade from `torchml.models.density` in the same range.
    Distances and energies are float64, also in models of float32.

    Args:
        species: chemical symbols, in the order of the species codes.

    Attributes:
        core: where the cores end, for the species of target and source, float64[S, S] (Å).
        unit: of the energies (eV).
    """

    core: Tensor
    nuclei: Tensor
    unit: Tensor

    def __init__(self, species: list[str]) -> None:
        super().__init__()
        self.weights, self.decays = WEIGHTS, DECAYS  # TorchScript takes no constants of the module
        numbers = [atomic_numbers[symbol] for symbol in species]
        radii = torch.tensor([float(covalent_radii[number]) for number in numbers]).double()
        self.register_buffer("core", OUTER * (radii.unsqueeze(1) + radii))
        pairs = [charge_and_decay(one, other) for one in numbers for other in numbers]
        self.register_buffer("nuclei", torch.tensor(pairs, dtype=torch.float64), persistent=False)
        self.register_buffer("unit", torch.ones((), dtype=torch.float64))

    def forward(
        self, species: Tensor, edge_vectors: Tensor, edge_index: Tensor, nodes: int
    ) -> Tensor:
        """Return the energies of the first nodes: float64[nodes] (`unit`).

        Args:
            species: codes, i64[M].
            edge_vectors: float[E, 3] (Å).
            edge_index: i64[2, E], sources and targets, which are among the first nodes.
            nodes: how many energies.
        """
        near, pair = self.near(species, edge_vectors.detach(), edge_index)
        if torch.jit.is_scripting() and near.size(0) == 0:  # type: ignore[attr-defined]
            # As in most steps of a simulation: no derivatives of all edges that are zero.
            return torch.zeros([nodes], dtype=self.core.dtype, device=self.core.device)
        r = lengths(edge_vectors.index_select(0, near).to(self.core.dtype))
        nuclei = self.nuclei.index_select(0, pair)
        t = (4.0 * r / self.core.flatten().index_select(0, pair) - 3.0).clamp(min=0.0)
        energies = screened(nuclei[:, 0], nuclei[:, 1], r, self.weights, self.decays)
        energies = (0.5 / self.unit) * (1.0 - smooth_step(t)) * energies
        target = edge_index[1].index_select(0, near)
        return energies.new_zeros([nodes]).index_add(0, target, energies)

    def near(
        self, species: Tensor, edge_vectors: Tensor, edge_index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return which edges lie within the core of their pair of elements, and the pair of each.

        Args:
            species: as in `forward`, like the other arguments.
        """
        r = torch.linalg.vector_norm(edge_vectors.to(self.core.dtype), dim=1)
        near = torch.nonzero(r < self.core.max()).squeeze(1)  # few edges, whose elements are read
        target = species.index_select(0, edge_index[1].index_select(0, near))
        source = species.index_select(0, edge_index[0].index_select(0, near))
        pair = target * self.core.size(1) + source
        within = r.index_select(0, near) < self.core.flatten().index_select(0, pair)
        within = torch.nonzero(within).squeeze(1)
        return near.index_select(0, within), pair.index_select(0, within)

    @torch.jit.unused
    @torch.no_grad()
    def measure(self, species: Tensor, edge_vectors: Tensor, edge_index: Tensor) -> None:
        """Let the cores end at the shortest distances that occur, within limits.

        Args:
            species: codes, i64[M].
            edge_vectors: float[E, 3] (Å).
            edge_index: i64[2, E], sources and targets.
        """
        count = self.core.size(0)
        pair = species.index_select(0, edge_index[1]) * count
        pair = pair + species.index_select(0, edge_index[0])
        longest = _LARGEST / OUTER * self.core.flatten()
        r = lengths(edge_vectors.to(self.core.dtype))
        shortest = longest.scatter_reduce(0, pair, r, "amin").view(count, count)
        occurs = torch.bincount(pair, minlength=count * count).view(count, count) > 0
        shortest = torch.minimum(shortest, shortest.T)
        self.core.copy_(torch.where(occurs | occurs.T, shortest, self.core))
