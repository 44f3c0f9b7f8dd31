"""Symmetry functions, and one small network per element.

J. Behler and M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007); the functions are those of
J. Behler, J. Chem. Phys. 134, 074106 (2011).
"""

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel, float_type, per_node, require_choice, require_positive
from torchml.models.input_scaling import standardization
from torchml.models.pairs import edge_pairs
from torchml.models.perceptron import initialize, perceptron
from torchml.models.radial import cosine_envelope, lengths


class SymmetryFunctions(torch.nn.Module):
    """Radial and angular symmetry functions, separately for each element and pair of elements.

    With the cutoff function f of Behler, for the central atom i::

        G2(eta, shift)        = sum_j exp(-eta (r_ij - shift)^2) f(r_ij)
        G4(eta, zeta, lambda) = 2^(1 - zeta) sum_{j<k} (1 + lambda cos theta_jik)^zeta
                                exp(-eta (r_ij^2 + r_ik^2 + r_jk^2)) f(r_ij) f(r_ik) f(r_jk)
        G5                    = G4 without the two factors of r_jk

    Behler's sum goes over j and k in both orders and so has twice our value.

    Args:
        elements: number of elements S.
        cutoff: where f vanishes (Å).
        radial: (eta, shift) of every G2 (1/Å², Å).
        etas: of the angular functions (1/Å²).
        zetas: exponents of the angular functions; each is combined with each eta and with
            lambda = -1 and 1.
        third_side: G4 rather than G5.
    """

    radial_etas: Tensor
    shifts: Tensor
    etas: Tensor

    def __init__(
        self,
        elements: int,
        cutoff: float,
        radial: list[list[float]],
        etas: list[float],
        zetas: list[int],
        third_side: bool,
    ) -> None:
        super().__init__()
        self.elements = elements
        self.cutoff = float(cutoff)
        self.zetas = list(zetas)
        self.third_side = third_side
        self.register_buffer(
            "radial_etas", torch.tensor([eta for eta, _ in radial], dtype=torch.float64)
        )
        self.register_buffer(
            "shifts", torch.tensor([shift for _, shift in radial], dtype=torch.float64)
        )
        self.register_buffer("etas", torch.tensor(etas, dtype=torch.float64))
        self.pairs = elements * (elements + 1) // 2
        self.n_angular = 2 * len(etas) * len(zetas)
        self.count = elements * len(radial) + self.pairs * self.n_angular

    def forward(
        self, species: Tensor, edge_vectors: Tensor, edge_index: Tensor, n_out: int
    ) -> Tensor:
        """Return the symmetry functions of the first `n_out` nodes: [n_out, count].

        First all G2 with neighbours of the first element, then of the second, ...; then the
        angular functions of the pairs of elements 00, 01, 11, 02, 12, 22, ...
        """
        r = lengths(edge_vectors)
        envelope = cosine_envelope(r, self.cutoff)
        neighbor = species.index_select(0, edge_index[0])
        place = edge_index[1] * self.elements + neighbor
        functions = self.radial(r) * envelope.unsqueeze(1)
        shape = [n_out * self.elements, functions.size(1)]
        radial = r.new_zeros(shape).index_add(0, place, functions)

        one, other = edge_pairs(edge_index[1], species.size(0))
        p, q = edge_vectors.index_select(0, one), edge_vectors.index_select(0, other)
        rp, rq = r.index_select(0, one), r.index_select(0, other)
        cosine = (p * q).sum(1) / (rp * rq)
        squares = rp.square() + rq.square()
        weight = envelope.index_select(0, one) * envelope.index_select(0, other)
        if self.third_side:
            third = (p - q).square().sum(1)
            squares = squares + third
            weight = weight * cosine_envelope(third.sqrt(), self.cutoff)
        functions = self.angular(cosine, squares) * weight.unsqueeze(1)
        a, b = neighbor.index_select(0, one), neighbor.index_select(0, other)
        high, low = torch.maximum(a, b), torch.minimum(a, b)
        pair = torch.div(high * (high + 1), 2, rounding_mode="floor") + low
        place = edge_index[1].index_select(0, one) * self.pairs + pair
        shape = [n_out * self.pairs, functions.size(1)]
        angular = r.new_zeros(shape).index_add(0, place, functions)
        return torch.cat(
            [
                radial.view(n_out, self.elements * self.radial_etas.size(0)),
                angular.view(n_out, self.pairs * self.n_angular),
            ],
            dim=1,
        )

    def radial(self, r: Tensor) -> Tensor:
        """The Gaussians of G2: [E] -> [E, n]."""
        return torch.exp(-self.radial_etas * (r.unsqueeze(1) - self.shifts).square())

    def angular(self, cosine: Tensor, squares: Tensor) -> Tensor:
        """Angular functions without cutoff functions: [T] and [T] -> [T, n].

        `squares` are the sums of the squared sides.
        """
        angles: list[Tensor] = []
        for zeta in self.zetas:
            # 2^(1 - zeta) (1 + x)^zeta; whole exponents have no pole in any derivative.
            angles.append(2.0 * (0.5 - 0.5 * cosine).pow(zeta))
            angles.append(2.0 * (0.5 + 0.5 * cosine).pow(zeta))
        gaussians = torch.exp(-self.etas * squares.unsqueeze(1))
        return (gaussians.unsqueeze(2) * torch.stack(angles, 1).unsqueeze(1)).flatten(1)


class BehlerParrinello(EdgeModel):
    """Symmetry functions of the neighbourhood, and one perceptron per element.

    No messages are passed: the energy of an atom depends on its neighbours within the cutoff. The
    symmetry functions are scaled by their values in a gas of typical density, so that all are of
    the order of one; `calibrate` replaces this scale by that of the training data.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of the neighbourhood (Å).
        radial_functions: number of Gaussians G2, on an even grid of distances.
        angular_functions: number of widths of the angular functions.
        zetas: exponents of the angular functions.
        angular: G4, which includes the distance between the two neighbours, or G5, which does not.
        hidden: widths of the hidden layers.
        radial_parameters: eta (1/Å²) and shift (Å) of each G2, in place of the grid.
        angular_parameters: eta (1/Å²) of the angular functions, in place of the default widths.
        dtype: float type of the weights, float32 or float64.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        radial_functions: int = 12,
        angular_functions: int = 3,
        zetas: list[int] = [1, 2, 4, 16],  # noqa: B006  (copied, and readable in YAML)
        angular: Literal["G4", "G5"] = "G4",
        hidden: list[int] = [48, 48],  # noqa: B006
        radial_parameters: list[list[float]] | None = None,
        angular_parameters: list[float] | None = None,
        dtype: str = "float64",
    ) -> None:
        super().__init__(species, cutoff, layers=1)
        require_positive(
            self, radial_functions=radial_functions, angular_functions=angular_functions
        )
        require_choice(self, "angular", angular, ["G4", "G5"])
        for zeta in zetas:
            require_positive(self, zetas=zeta)
        for width in hidden:
            require_positive(self, hidden=width)
        if radial_parameters is None:
            radial_parameters = _grid(radial_functions, cutoff)
        if any(len(pair) != 2 for pair in radial_parameters):
            raise TorchMLError(
                "BehlerParrinello: radial_parameters holds an entry that is not a pair, expected "
                "[eta, shift]"
            )
        if angular_parameters is None:
            reach = np.linspace(0.4, 1.2, angular_functions) * cutoff
            angular_parameters = [0.5 / float(width) ** 2 for width in reach]
        self.functions = SymmetryFunctions(
            len(species), cutoff, radial_parameters, angular_parameters, zetas, angular == "G4"
        )
        self.width = self.functions.count
        typical = torch.from_numpy(_typical(self.functions))
        self.register_buffer("shift", typical)
        self.register_buffer("scale", 2.0 / typical)
        self.networks = torch.nn.ModuleList(
            perceptron(self.width, *hidden, 1) for _ in range(len(species))
        )
        initialize(self)
        self.to(float_type(dtype))

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        features = self.node_features(species, edge_vectors, edge_index, node_counts, edge_counts)
        energies = features.new_zeros([features.size(0), 1])
        own = species[: features.size(0)]
        for code, network in enumerate(self.networks):
            atoms = torch.nonzero(own == code).squeeze(1)
            energies = energies.index_add(0, atoms, network(features.index_select(0, atoms)))
        return per_node(energies, species)

    def node_features(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        n = edge_counts[0]
        edges = edge_index[:, :n]
        raw: Tensor = self.functions(species, edge_vectors[:n], edges, node_counts[0])
        return (raw - self.shift) * self.scale

    @torch.jit.unused
    def calibrate(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> None:
        """Shift and scale the symmetry functions to mean 0 and deviation 1 over these atoms."""
        with torch.no_grad():
            self.shift.zero_()
            self.scale.fill_(1.0)
            raw = self.node_features(species, edge_vectors, edge_index, node_counts, edge_counts)
            shift, scale = standardization(raw)
            self.shift.copy_(shift)
            self.scale.copy_(scale)


def _grid(count: int, cutoff: float) -> list[list[float]]:
    """Return [eta, shift] of Gaussians at even distances, as wide as their spacing."""
    shifts = np.linspace(0.2, 0.9, count) * cutoff
    spacing = 0.7 * cutoff / max(count - 1, 1)
    return [[0.5 / spacing**2, float(shift)] for shift in shifts]


def _typical(functions: SymmetryFunctions) -> NDArray[np.float64]:
    """Return typical values of the functions: [count].

    They are those of an ideal gas of 0.05 atoms per Å³, equally shared by the elements, with no
    pair closer than 1.5 Å; values below 2 % of the largest are raised to that.
    """
    density = 0.05 / functions.elements
    cutoff = functions.cutoff
    r = torch.linspace(min(1.5, 0.3 * cutoff), cutoff, 50, dtype=torch.float64)
    shell = 4.0 * math.pi * r.square() * (r[1] - r[0]) * density * cosine_envelope(r, cutoff)
    radial = (functions.radial(r) * shell.unsqueeze(1)).sum(0)

    cosine = torch.linspace(-1.0, 1.0, 41, dtype=torch.float64)
    p, q, x = (axis.flatten() for axis in torch.meshgrid(r, r, cosine, indexing="ij"))
    squares = p.square() + q.square()
    weight = (shell[:, None, None] * shell[:, None] / len(cosine)).expand(-1, -1, len(cosine))
    weight = weight.flatten()
    if functions.third_side:
        third = (squares - 2.0 * p * q * x).clamp(min=1e-12)
        squares = squares + third
        weight = weight * cosine_envelope(third.sqrt(), cutoff)
    angular = (functions.angular(x, squares) * weight.unsqueeze(1)).sum(0)

    parts = []
    for values, repeats in ((radial, functions.elements), (0.5 * angular, functions.pairs)):
        values = torch.maximum(values, 0.02 * values.max())
        parts.append(values.repeat(repeats))
    return torch.cat(parts).numpy()
