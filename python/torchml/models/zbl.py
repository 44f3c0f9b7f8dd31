"""Universal screened repulsion of nuclei, for atoms closer than any training data.

J. F. Ziegler, J. P. Biersack and U. Littmark, The Stopping and Range of Ions in Matter, vol. 1,
Pergamon (1985).
"""

import math

import torch
from ase.data import atomic_numbers, covalent_radii
from torch import Tensor

from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel, float_type
from torchml.models.radial import lengths

# Screening function sum_k c_k exp(-d_k r / a), a = _LENGTH / (Z_1^_POWER + Z_2^_POWER).
_SCREENING = ((0.02817, 0.20162), (0.28022, 0.40290), (0.50986, 0.94229), (0.18175, 3.19980))
_LENGTH = 0.46850  # Å
_POWER = 0.23
_COULOMB = 14.399645  # e^2 / (4 pi epsilon_0), eV Å: the value of LAMMPS in units metal

WEIGHTS = [weight for weight, _ in _SCREENING]
DECAYS = [decay for _, decay in _SCREENING]

# Of the sum of covalent radii: bonds of molecules and crystals are longer than the outer one.
INNER, OUTER = 0.35, 0.7


def charge_and_decay(one: int, other: int) -> tuple[float, float]:
    """Return Z Z e^2 / (4 pi epsilon_0) (eV Å) and 1 / a (1/Å) of two atomic numbers."""
    return one * other * _COULOMB, (one**_POWER + other**_POWER) / _LENGTH


def screened(
    charge: Tensor, decay: Tensor, r: Tensor, weights: list[float], decays: list[float]
) -> Tensor:
    """Return the energies of pairs of nuclei, not switched off: [E].

    Args:
        charge: energies without screening at 1 Å, [E] (eV Å).
        decay: inverse screening lengths, [E] (1/Å).
        r: distances, [E] (Å).
        weights: of the exponentials of the screening function.
        decays: of the exponentials, in units of the screening length.
    """
    scaled = r * decay
    screening = torch.zeros_like(scaled)
    for k, weight in enumerate(weights):
        screening = screening + weight * torch.exp(-decays[k] * scaled)
    return charge * screening / r


class ZBL(EdgeModel):
    """Screened Coulomb repulsion of nuclei, switched off between two distances.

    With Z the atomic numbers and f the screening function of Ziegler, Biersack and Littmark, the
    energy of a pair is::

        Z_1 Z_2 e^2 / (4 pi epsilon_0 r) f(r / a) + S(r)

    S is constant up to the inner distance and a polynomial up to the outer one, where energy, force
    and derivative of the force become zero, as in LAMMPS's `pair_style zbl inner outer`.

    Without distances those of a pair are 0.35 and 0.7 times the sum of its covalent radii (B.
    Cordero et al., Dalton Trans. 2008, 2832; for silicon 0.78 and 1.55 Å): the energy of structures
    with bonds of usual lengths does not change.

    Args:
        species: chemical symbols, in the order of the species codes.
        inner: where the switch starts, for all pairs (Å).
        outer: where the energy is zero, for all pairs (Å).
        dtype: float type, float32 or float64.

    Raises:
        TorchMLError: only one distance is given, or they are not in order.
    """

    radial = True
    physical = True
    label = "zbl"
    table: Tensor

    def __init__(
        self,
        species: list[str],
        inner: float | None = None,
        outer: float | None = None,
        dtype: str = "float64",
    ) -> None:
        if (inner is None) != (outer is None):
            raise TorchMLError(
                f"ZBL: inner is {inner} and outer is {outer}, expected both distances or none"
            )
        if inner is not None and outer is not None and not 0.0 < inner < outer < math.inf:
            raise TorchMLError(
                f"ZBL: inner is {inner} Å and outer is {outer} Å, expected 0 < inner < outer"
            )
        numbers = [atomic_numbers.get(symbol, 0) for symbol in species]
        radii = [float(covalent_radii[number]) for number in numbers]
        rows = [
            _row(a, b, inner or INNER * (p + q), outer or OUTER * (p + q))
            for a, p in zip(numbers, radii, strict=True)
            for b, q in zip(numbers, radii, strict=True)
        ]
        super().__init__(species, max(row[3] for row in rows), layers=1)
        self.count = len(species)
        self.weights, self.decays = WEIGHTS, DECAYS  # TorchScript takes no constants of the module
        self.register_buffer("table", torch.tensor(rows, dtype=float_type(dtype)))

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        source, target = edge_index[0], edge_index[1]
        pair = species.index_select(0, target) * self.count + species.index_select(0, source)
        rows = self.table.index_select(0, pair)
        r = lengths(edge_vectors)
        gap = (r - rows[:, 2]).clamp(min=0.0)
        switch = gap.pow(3) * (rows[:, 4] + rows[:, 5] * gap) + rows[:, 6]
        energies = screened(rows[:, 0], rows[:, 1], r, self.weights, self.decays) + switch
        energies = torch.where(r < rows[:, 3], 0.5 * energies, torch.zeros_like(energies))
        return energies.new_zeros([species.size(0)]).index_add(0, target, energies)


def _row(one: int, other: int, inner: float, outer: float) -> tuple[float, ...]:
    """(Z Z e^2, 1 / a, inner, outer, three coefficients of the switch) of a pair of elements."""
    charge, inverse = charge_and_decay(one, other)
    # Energy, slope and curvature of the repulsion at the outer distance.
    values = [0.0, 0.0, 0.0]
    for weight, decay in _SCREENING:
        k, term = decay * inverse, weight * math.exp(-decay * inverse * outer) / outer
        values[0] += term
        values[1] -= term * (k + 1 / outer)
        values[2] += term * (k * k + 2 * k / outer + 2 / outer**2)
    energy, slope, curvature = (charge * value for value in values)
    width = outer - inner
    third = (-3 * slope + width * curvature) / width**2
    fourth = (2 * slope - width * curvature) / width**3
    constant = -energy + width * slope / 2 - width**2 * curvature / 12
    return charge, inverse, inner, outer, third / 3, fourth / 4, constant
