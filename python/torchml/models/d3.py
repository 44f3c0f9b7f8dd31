"""Dispersion correction D3 with the damping of Becke and Johnson.

S. Grimme, J. Antony, S. Ehrlich and H. Krieg, J. Chem. Phys. 132, 154104 (2010); S. Grimme,
S. Ehrlich and L. Goerigk, J. Comput. Chem. 32, 1456 (2011).
"""

import math
from typing import Any

import torch
from torch import Tensor

from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel, float_type
from torchml.models.d3_tables import damping_of, tables_of
from torchml.models.radial import lengths

CUTOFF = 15.0  # Å
SMOOTHING = 1.0  # Å
_STEEPNESS = 16.0  # of the counting function
_SHARPNESS = 4.0  # of the weights of the references
_NO_REFERENCE = -1e4  # a coordination number that no atom has


class D3(EdgeModel):
    """Two-body terms of D3(BJ): coordination numbers in one layer, pairs in the other.

    The energy of a pair is::

        - s6 C6 / (r^6 + f^6) - s8 C8 / (r^8 + f^8),   f = a1 sqrt(C8 / C6) + a2

    C6 depends on the coordination numbers of both atoms through weights of reference systems.
    Three-body terms are left out, as in dftd3 with s9 = 0.

    Args:
        species: chemical symbols, in the order of the species codes.
        functional: whose damping parameters are taken, such as PBE.
        cutoff: of the pairs (Å).
        coordination_cutoff: of the coordination numbers (Å), at most that of the pairs; None is
            where the largest atoms count each other by less than 1e-5, see `counting_range`.
        smoothing: the last part of both ranges (Å), in which a polynomial of degree five takes
            energies and counts to zero; 0 for sharp cutoffs.
        dtype: float type, float32 or float64.
        damping: s6, s8, a1 and a2 (Å); None takes those of the functional.
        tables: of `torchml.models.d3_tables.tables_of`; None takes them from tad-dftd3. A
            checkpoint holds both, so that tad-dftd3 is needed once.

    Raises:
        TorchMLError: tad-dftd3 is needed and not installed, or does not know the functional or an
            element, or a length is out of range.
    """

    radial = True
    physical = True
    label = "d3"
    radii: Tensor
    references: Tensor
    counts: Tensor
    c6: Tensor
    pairs: Tensor

    def __init__(
        self,
        species: list[str],
        functional: str = "PBE",
        cutoff: float = CUTOFF,
        coordination_cutoff: float | None = None,
        smoothing: float = SMOOTHING,
        dtype: str = "float64",
        damping: dict[str, float] | None = None,
        tables: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(species, cutoff, layers=2)
        damping = damping_of(functional) if damping is None else damping
        tables = tables_of(species) if tables is None else tables
        if coordination_cutoff is None:
            coordination_cutoff = min(counting_range(tables["radii"]), self.cutoff)
        self.arguments = self.arguments | {
            "coordination_cutoff": coordination_cutoff,
            "damping": damping,
            "tables": tables,
        }
        if not 0.0 < coordination_cutoff <= self.cutoff:
            raise TorchMLError(
                f"D3: the coordination cutoff is {coordination_cutoff} Å, expected a length up to "
                f"that of the pairs, {self.cutoff} Å"
            )
        if not 0.0 <= smoothing < coordination_cutoff:
            raise TorchMLError(
                f"D3: smoothing is {smoothing} Å, expected a length from 0 to the coordination "
                f"cutoff of {coordination_cutoff} Å"
            )
        self.coordination_cutoff = float(coordination_cutoff)
        self.smoothing = float(smoothing)
        # TorchScript takes no constants of the module.
        self.steepness = _STEEPNESS
        self.sharpness = _SHARPNESS
        for name, values in _buffers(tables, damping).items():
            self.register_buffer(name, values)
        self.to(float_type(dtype))

    def shell_cutoffs(self) -> list[float]:
        return [self.cutoff, self.coordination_cutoff]

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r = lengths(edge_vectors.to(self.c6.dtype))
        n, e = node_counts[1], edge_counts[1]
        coordination = self.coordination(species, r[:e], edge_index[:, :e], n)
        e = edge_counts[0]
        energies = self.pair_energies(species[:n], coordination, r[:e], edge_index[:, :e])
        zeros = energies.new_zeros([species.size(0)])
        return zeros.index_add(0, edge_index[1, :e], energies)

    def coordination(self, species: Tensor, r: Tensor, edge_index: Tensor, nodes: int) -> Tensor:
        """Return the coordination numbers of the first nodes, [nodes]."""
        near = torch.nonzero(r < self.coordination_cutoff).squeeze(1)
        r = r.index_select(0, near)
        source, target = edge_index[0].index_select(0, near), edge_index[1].index_select(0, near)
        radii = self.radii.index_select(0, species)
        bond = radii.index_select(0, source) + radii.index_select(0, target)
        shares = torch.sigmoid(self.steepness * (bond / r - 1.0))
        shares = shares * self.switch(r, self.coordination_cutoff)
        return shares.new_zeros([nodes]).index_add(0, target, shares)

    def pair_energies(
        self, species: Tensor, coordination: Tensor, r: Tensor, edge_index: Tensor
    ) -> Tensor:
        """Return half the energy of each pair, [E] (eV).

        Args:
            species: of the nodes with a coordination number.
            coordination: [nodes].
            r: lengths of the edges, [E] (Å).
            edge_index: i64[2, E].
        """
        source, target = edge_index[0], edge_index[1]
        # Only the elements and the references that are there.
        present, code = torch.unique(species, return_inverse=True)
        kinds = present.size(0)
        most = int(self.counts.index_select(0, present).max()) if kinds > 0 else 1
        references = self.references.index_select(0, present)[:, :most]
        c6 = self.c6.index_select(0, present).index_select(1, present)[:, :, :most, :most]

        # Weights of the references, normalised: the exponents may all be far below zero.
        distance = coordination.unsqueeze(1) - references.index_select(0, code)
        weights = torch.softmax(-self.sharpness * distance.square(), 1)
        # sum_b C6[z, z_j, a, b] w_j[b] for each element z: one row for each atom and element.
        table = c6.permute(1, 0, 2, 3).reshape(kinds, kinds * most, most).index_select(0, code)
        rows = torch.bmm(table, weights.unsqueeze(2)).view(-1, most)
        kind = code.index_select(0, target)
        coefficients = rows.index_select(0, source * kinds + kind)
        coefficients = (coefficients * weights.index_select(0, target)).sum(1)

        pairs = self.pairs.index_select(0, present).index_select(1, present).view(-1, 4)
        constants = pairs.index_select(0, kind * kinds + code.index_select(0, source))
        r2 = r.square()
        r6 = r2 * r2 * r2
        shape = constants[:, 0] / (r6 + constants[:, 1])
        shape = shape + constants[:, 2] / (r6 * r2 + constants[:, 3])
        return -0.5 * coefficients * shape * self.switch(r, self.cutoff)

    def switch(self, r: Tensor, cutoff: float) -> Tensor:
        """Return 1, and in the last part of the range a polynomial that ends in 0, [E]."""
        if self.smoothing == 0.0:
            return torch.ones_like(r)
        x = ((cutoff - r) / self.smoothing).clamp(0.0, 1.0)
        return x.pow(3) * (10.0 + x * (6.0 * x - 15.0))


def counting_range(radii: list[float], share: float = 1e-5) -> float:
    """Return where the two largest atoms add `share` to the coordination number of each other (Å).

    Args:
        radii: of `tables_of`.
        share: a number beyond 1e-7, which is left of it at any distance.
    """
    return 2.0 * max(radii) / (1.0 - math.log(1.0 / share - 1.0) / _STEEPNESS)


def _buffers(tables: dict[str, Any], damping: dict[str, float]) -> dict[str, Tensor]:
    """Tables by pairs of elements, filled up to the largest number of references."""
    coordination = tables["coordination"]
    count, most = len(coordination), max(map(len, coordination))
    references = torch.full([count, most], _NO_REFERENCE, dtype=torch.float64)
    c6 = torch.zeros([count, count, most, most], dtype=torch.float64)
    for s, numbers in enumerate(coordination):
        references[s, : len(numbers)] = torch.tensor(numbers, dtype=torch.float64)
        for t, rows in enumerate(tables["c6"][s], start=s):
            values = torch.tensor(rows, dtype=torch.float64)
            c6[s, t, : values.size(0), : values.size(1)] = values
            c6[t, s, : values.size(1), : values.size(0)] = values.T
    moments = torch.tensor(tables["moments"], dtype=torch.float64)
    ratio = 3.0 * moments.unsqueeze(0) * moments.unsqueeze(1)  # C8 / C6
    radius = damping["a1"] * ratio.sqrt() + damping["a2"]
    sixth = torch.full_like(ratio, damping["s6"])
    return {
        "radii": torch.tensor(tables["radii"], dtype=torch.float64),
        "references": references,
        "counts": torch.tensor([len(numbers) for numbers in coordination]),
        "c6": c6,
        "pairs": torch.stack([sixth, radius**6, damping["s8"] * ratio, radius**8], 2),
    }
