"""Repulsion of nuclei that is part of another package's network.

J. F. Ziegler, J. P. Biersack and U. Littmark, The Stopping and Range of Ions in Matter, vol. 1,
Pergamon (1985). Packages have constants and envelopes of their own; `torchml.models.zbl` is that of
LAMMPS.
"""

import torch
from torch import Tensor

from torchml.models.zbl import screened


class ScreenedRepulsion(torch.nn.Module):
    """Half of the screened repulsion of two nuclei for each edge, at its target.

    Args:
        charges: of the elements, in units in which half of the energy is q q' / r (eV Å)^(1/2).
        screening: by element (1/Å); the inverse length of a pair is the sum.
        weights: of the exponentials.
        decays: of the exponentials.
        envelope: of the distance in units in which all pairs end at the cutoff.
    """

    charges: Tensor
    screening: Tensor

    def __init__(
        self,
        charges: Tensor,
        screening: Tensor,
        weights: list[float],
        decays: list[float],
        envelope: torch.nn.Module,
    ) -> None:
        super().__init__()
        self.register_buffer("charges", charges)
        self.register_buffer("screening", screening)
        self.weights = weights
        self.decays = decays
        self.envelope = envelope

    def forward(
        self, r: Tensor, stretched: Tensor, species: Tensor, edge_index: Tensor, n_out: int
    ) -> Tensor:
        """Energies [n_out, 1] of the first nodes; shapes: r and stretched [E], species [M]."""
        one = species.index_select(0, edge_index[0])
        two = species.index_select(0, edge_index[1])
        decay = self.screening.index_select(0, one) + self.screening.index_select(0, two)
        charges = self.charges.index_select(0, one) * self.charges.index_select(0, two)
        envelope: Tensor = self.envelope(stretched.unsqueeze(1))
        nuclei = screened(charges, decay, r, self.weights, self.decays)
        energies = nuclei.unsqueeze(1) * envelope
        return energies.new_zeros([n_out, 1]).index_add(0, edge_index[1], energies)


def stretched(r: Tensor, stretches: Tensor, species: Tensor, edge_index: Tensor) -> Tensor:
    """Distances [E] in units in which the cutoffs of all pairs are the same.

    Args:
        stretches: row of the target and column of the source, [Z, Z]; [0, 0] changes nothing.
    """
    if stretches.size(0) == 0:
        return r
    pair = species.index_select(0, edge_index[1]) * stretches.size(0)
    pair = pair + species.index_select(0, edge_index[0])
    return r * stretches.flatten().index_select(0, pair)
