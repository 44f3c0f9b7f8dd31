"""ACE: an atomic cluster expansion with mixed channels and a small network on top.

R. Drautz, Phys. Rev. B 99, 014104 (2019); channels that are mixed before the products instead of
all products of all channels: J. P. Darby et al., Phys. Rev. Lett. 131, 028001 (2023).

The atoms around an atom are a density, expanded in radial functions and real harmonics. Linear
combinations of its radial functions are tensors x_lm in K channels, polynomials of which no
rotation changes are its features::

    A_(q)lm = sum over neighbours of g_n(r) Y_lm(u),   q = (element, n)
    x_klm   = sum over q of A_(q)lm M_lqk
    p_ko    = sum over invariants of c_ok B(x_k)
    E       = a . p + network(p)

Nothing in the sum over the neighbours is trained, and one cutoff is as far as the atom sees.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from torch import Tensor

from torchml.errors import TorchMLError
from torchml.models.ace_simulation import ClusterTensors, SimulationACE
from torchml.models.base import EdgeModel, float_type, per_node, require_choice, require_positive
from torchml.models.cores import Cores
from torchml.models.density import density
from torchml.models.exact import Exact
from torchml.models.invariants import Invariants, invariants
from torchml.models.perceptron import perceptron
from torchml.models.products import products, term_table
from torchml.models.radial import smooth_step

# Densities of more elements than this are combined to so many.
_SPECIES_CHANNELS = 4
_DEGREE = 5
_INTERVALS = 80
# Least share of the strongest direction of the density that counts as one of its directions.
_SMALLEST_VARIANCE = 1e-4
# A prior of smooth energies: directions of the density with the spread s enter the channels with
# s^(1 - 2 * _WHITENING), which is the same for all where this is 1/2, times (1 + l)^-_DAMPING.
_WHITENING = 0.25
_DAMPING = 0.5
# Below this share of the least density in the training data an atom counts as nearly isolated.
_DILUTE = 0.5
_LEAST_DENSITY = 1e-2


@dataclass(frozen=True)
class Size:
    """What `size` stands for; each can be given as an argument of its own.

    Attributes:
        radial_functions: of the distance, for each element.
        degrees: highest l of the factors of order two, three, ...
        channels: K.
        densities: polynomials of each channel.
        hidden: units of the two hidden layers of the network; 0 leaves the network out.
    """

    radial_functions: int
    degrees: tuple[int, ...]
    channels: int
    densities: int
    hidden: int


SIZES = {
    "small": Size(8, (3, 3), 16, 2, 32),
    "default": Size(8, (5, 5), 24, 2, 64),
    "large": Size(10, (5, 5, 2), 64, 2, 64),
}


class Couplings(Exact):
    """Coefficients of invariant polynomials: rounded ones would not be invariant.

    Attributes:
        matrix: float64[monomials, invariants].
    """

    matrix: Tensor

    def __init__(self, basis: Invariants) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.from_numpy(basis.coefficients))


class ACE(EdgeModel):
    """Atomic cluster expansion, made for accuracy on small training sets at the least cost.

    Atoms closer than any training data repel each other: within the core, which is the shortest
    distance of a pair of elements in the data, neighbours fade from the density, and the universal
    repulsion of nuclei (ZBL) takes their place. An atom without neighbours has exactly the
    reference energy of its element.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of the density (Å).
        size: small | default | large, see `SIZES`; the other sizes change parts of it.
        radial_functions: of the distance, for each element.
        degrees: highest l of the factors of invariants of order two, three, ...
        channels: linear combinations of the density.
        densities: polynomials of each channel.
        hidden: units of both hidden layers of the network; 0 leaves the network out.
        repulsion: add the repulsion of nuclei.
        dtype: float type of the weights, float32 or float64.

    Raises:
        TorchMLError: an argument is out of range.
    """

    exact_distances = True
    learning_rate = 1e-2
    white: Tensor
    shift: Tensor
    table: Tensor
    elements: Tensor
    feature_mean: Tensor
    feature_scale: Tensor
    dilute: Tensor
    terms: Tensor

    def __init__(
        self,
        species: list[str],
        cutoff: float = 5.0,
        size: str = "default",
        radial_functions: int | None = None,
        degrees: list[int] | None = None,
        channels: int | None = None,
        densities: int | None = None,
        hidden: int | None = None,
        repulsion: bool = True,
        dtype: str = "float64",
    ) -> None:
        super().__init__(species, cutoff, layers=1)
        require_choice(self, "size", size, list(SIZES))
        preset = SIZES[size]
        radial = preset.radial_functions if radial_functions is None else radial_functions
        channels = preset.channels if channels is None else channels
        densities = preset.densities if densities is None else densities
        hidden = preset.hidden if hidden is None else hidden
        degrees = list(preset.degrees) if degrees is None else list(degrees)
        require_positive(self, radial_functions=radial, channels=channels, densities=densities)
        _require_degrees(degrees)
        # A checkpoint keeps what the size stood for.
        self.arguments.update(
            radial_functions=radial,
            degrees=degrees,
            channels=channels,
            densities=densities,
            hidden=hidden,
        )
        count, self.highest = len(species), max(degrees)
        basis = invariants(degrees)
        self.densities, self.repulsion = densities, repulsion
        terms = [(k, monomial) for k in range(densities) for monomial in basis.monomials]
        self.register_buffer("terms", term_table(terms), persistent=False)
        self.width = densities * channels
        float_ = float_type(dtype)

        def buffer(name: str, value: Tensor) -> None:
            self.register_buffer(name, value.to(float_))

        species_channels = min(count, _SPECIES_CHANNELS)
        q = species_channels * radial
        buffer("table", radial_table(radial, self.cutoff))
        buffer("elements", torch.eye(count))
        buffer("white", torch.eye(q).repeat(self.highest + 1, 1, 1))
        buffer("shift", torch.zeros(q))
        buffer("feature_mean", torch.zeros(self.width))
        buffer("feature_scale", torch.ones(self.width))
        buffer("dilute", torch.full((count,), _LEAST_DENSITY))

        embedding = torch.randn(count, species_channels - 1)
        self.embedding = torch.nn.Parameter(embedding) if species_channels < count else None
        mix = torch.randn(self.highest + 1, q, channels) * q**-0.5
        self.mix = torch.nn.Parameter(mix)
        shape = count, len(basis.orders), densities, channels
        self.polynomials = torch.nn.Parameter(torch.randn(shape) * len(basis.orders) ** -0.5)
        self.linear = torch.nn.Parameter(torch.randn(self.width) * self.width**-0.5)
        self.offset = torch.nn.Parameter(torch.zeros(count))
        self.network = perceptron(self.width, hidden, hidden, 1) if hidden else None
        self.cores = Cores(species)
        self.couplings = Couplings(basis)
        self.to(float_)

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        n = node_counts[0]
        elements = species[:n]
        sums = self.sums(species, edge_vectors, edge_index, n)
        energies = self.energies(self.features(sums, elements), elements)
        codes = torch.arange(self.elements.size(0), device=species.device)
        empty = sums.new_zeros([codes.size(0), sums.size(1), sums.size(2)])
        alone = self.energies(self.features(empty, codes), codes).index_select(0, elements)
        result = (energies - self.isolation(sums, elements) * alone).to(torch.float64)
        if self.repulsion:
            result = result + self.cores(species, edge_vectors, edge_index, n)
        return per_node(result.to(self.table.dtype).unsqueeze(1), species)

    def node_features(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        sums = self.sums(species, edge_vectors, edge_index, node_counts[0])
        return self.features(sums, species[: node_counts[0]])

    def last_inputs(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        elements = species[: node_counts[0]]
        sums = self.sums(species, edge_vectors, edge_index, node_counts[0])
        inputs = self.readout_inputs(self.features(sums, elements), elements)
        codes = torch.arange(self.elements.size(0), device=species.device)
        empty = sums.new_zeros([codes.size(0), sums.size(1), sums.size(2)])
        alone = self.readout_inputs(self.features(empty, codes), codes).index_select(0, elements)
        return inputs - self.isolation(sums, elements).unsqueeze(1) * alone

    @torch.jit.unused
    def last_weights(self) -> list[torch.nn.Parameter]:
        network = [] if self.network is None else [self.network[4].weight]
        return [self.linear, *network, self.offset]  # type: ignore[list-item]

    def sums(self, species: Tensor, edge_vectors: Tensor, edge_index: Tensor, n: int) -> Tensor:
        """Return the density around the first n nodes: [n, (highest + 1)^2, elements * radial]."""
        order = torch.ops.torchml.edge_order(edge_index, species.size(0))
        return density(
            edge_vectors.to(torch.float64),
            species,
            edge_index,
            order,
            self.cores.core,
            self.elements,
            self.table,
            self.cutoff,
            self.highest,
            n,
        )

    def features(self, sums: Tensor, elements: Tensor) -> Tensor:
        """Return the polynomials of the densities [n, rows, q], standardised: [n, width]."""
        x = self.mixed(self.gathered(sums), self.effective_mix())
        values = products(x, elements, self.coefficients(), self.terms, self.densities)
        return (values.flatten(1) - self.feature_mean) * self.feature_scale

    def effective_mix(self) -> Tensor:
        """Return the weights of the density in the channels: [highest + 1, q, K]."""
        return torch.matmul(self.white.transpose(1, 2), self.mix)

    def coefficients(self) -> Tensor:
        """Return those of the monomials in the polynomials of each channel: [S, terms, K]."""
        couplings = self.couplings.matrix.to(self.polynomials.dtype)
        return torch.einsum("ti,ziok->zotk", couplings, self.polynomials).flatten(1, 2)

    def gathered(self, sums: Tensor) -> Tensor:
        """Return the densities of few combinations of many elements: [n, rows, q]."""
        if self.embedding is None:
            return sums
        separate = sums.unflatten(2, [self.elements.size(0), self.table.size(1)])
        return torch.einsum("nlzr,zc->nlcr", separate, self.element_weights()).flatten(2)

    def element_weights(self) -> Tensor:
        """Return the weights of the elements in the channels of the density: [S, C].

        All elements count alike in the first of few channels.
        """
        if self.embedding is None:
            return self.elements
        return torch.cat([torch.ones_like(self.embedding[:, :1]), self.embedding], 1)

    def mixed(self, sums: Tensor, mix: Tensor) -> Tensor:
        """Return the channels of the densities: [n, rows, q] and [highest + 1, q, K]."""
        parts = [torch.matmul(sums[:, :1] - self.shift, mix[0])]
        for l in range(1, self.highest + 1):  # noqa: E741
            parts.append(torch.matmul(sums[:, l * l : (l + 1) * (l + 1)], mix[l]))
        return torch.cat(parts, 1)

    def energies(self, features: Tensor, elements: Tensor) -> Tensor:
        """[n, width] -> [n]"""
        energies = torch.mv(features, self.linear) + self.offset.index_select(0, elements)
        if self.network is not None:
            energies = energies + self.network(features).squeeze(1)
        return energies

    def readout_inputs(self, features: Tensor, elements: Tensor) -> Tensor:
        """Return what `energies` multiplies by `last_weights`: [n, width] -> [n, P]."""
        columns = [features]
        if self.network is not None:
            hidden = features
            for k, layer in enumerate(self.network):
                if k < 4:
                    hidden = layer(hidden)
            columns.append(hidden)
        columns.append(self.elements.index_select(0, elements))
        return torch.cat(columns, 1)

    def isolation(self, sums: Tensor, elements: Tensor) -> Tensor:
        """Return 1 for atoms without neighbours and 0 for those in the density of the data: [n]."""
        t = (self.crowding(sums) / self.dilute.index_select(0, elements)).clamp(max=1.0)
        return 1.0 - smooth_step(t)

    def crowding(self, sums: Tensor) -> Tensor:
        """Return how much is around each atom, in the first radial function: it is positive."""
        return sums[:, 0, :: self.table.size(1)].sum(1)

    @torch.jit.unused
    @torch.no_grad()
    def calibrate(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> None:
        n, e = node_counts[0], edge_counts[0]
        elements = species[:n]
        vectors, index = edge_vectors[:e], edge_index[:, :e]
        self.cores.measure(species, vectors, index)
        sums = self.sums(species, vectors, index, n)
        rows = self.gathered(sums).double()
        self.shift.copy_(rows[:, 0].mean(0))
        smallest = 1e-8 * rows[:, 0].square().mean().clamp(min=1e-4)  # in a perfect crystal
        for l in range(self.highest + 1):  # noqa: E741
            x = rows[:, l * l : (l + 1) * (l + 1)].flatten(0, 1)
            x = x - rows[:, 0].mean(0) if l == 0 else x
            variances, directions = torch.linalg.eigh(x.T @ x / len(x))
            least = torch.maximum(_SMALLEST_VARIANCE * variances.max(), smallest)
            variances = variances.clamp(min=0) + least
            scales = variances**-_WHITENING
            scales = scales / (scales.square() * variances).mean().sqrt() / (1 + l) ** _DAMPING
            self.white[l].copy_((directions * scales).T)
        self.feature_mean.zero_()
        self.feature_scale.fill_(1.0)
        features = self.features(sums, elements)
        self.feature_mean.copy_(features.mean(0))
        spread = features.std(0, correction=0)
        least = 1e-2 * features.square().mean().sqrt().clamp(min=1e-6)
        self.feature_scale.copy_(1.0 / torch.maximum(spread, least))
        first = self.crowding(sums)
        for z in set(elements.tolist()):
            self.dilute[z] = max(_DILUTE * float(first[elements == z].min()), _LEAST_DENSITY)

    @torch.jit.unused
    @torch.no_grad()
    def for_simulation(self) -> SimulationACE:
        exact = copy.deepcopy(self).double()
        count, radial = len(self.species), self.table.size(1)
        codes = torch.arange(count, device=self.table.device)
        empty = exact.table.new_zeros(count, (self.highest + 1) ** 2, count * radial)
        vacuum = exact.energies(exact.features(empty, codes), codes)
        # Means and scales of the features move into what comes before and after them.
        mean = exact.feature_mean * exact.feature_scale
        scale = exact.feature_scale.view(self.densities, 1, -1)
        scale = scale.expand(-1, len(self.couplings.matrix), -1).flatten(0, 1)
        if exact.network is not None:
            first = exact.network[0]
            assert isinstance(first, torch.nn.Linear)
            first.bias.sub_(first.weight @ mean)
        mix, weights = exact.effective_mix(), exact.element_weights()
        # All elements count alike: in their own channels, or together in the first of few.
        counted = weights.size(1) if self.embedding is None else 1
        crowding = weights.new_zeros(count, weights.size(1), radial)
        crowding[:, :counted, 0] = 1.0 / exact.dilute.unsqueeze(1)
        float_ = self.table.dtype
        tensors = ClusterTensors(
            weights=weights.to(float_),
            table=self.table.clone(),
            mix=mix.to(float_),
            bias=(-exact.shift @ mix[0]).to(float_),
            coefficients=(exact.coefficients() * scale).to(float_),
            terms=self.terms,
            linear=exact.linear.to(float_).detach(),
            crowding=crowding.flatten(1).to(float_),
            offset=exact.offset - exact.linear @ mean,
            vacuum=vacuum,
        )
        network = None if exact.network is None else exact.network.to(float_)
        model = SimulationACE(
            self.species, self.cutoff, tensors, network, exact.cores, self.repulsion
        )
        model.label = self.label
        return model

    @torch.jit.unused
    def set_scale(self, scale: float) -> None:
        self.cores.unit.fill_(scale)


def radial_table(count: int, cutoff: float) -> Tensor:
    """Return splines of sin(k pi r / cutoff) / r times an envelope, for k = 1 .. count.

    The envelope 1 - 10 x^3 + 15 x^4 - 6 x^5 with x = r / cutoff vanishes at the cutoff with two
    derivatives. The functions have a root mean square of the order of one over a sphere.

    Returns:
        float64[intervals + 5, count], as the operators of `torchml._core` take them.
    """
    spacing = cutoff / _INTERVALS
    k = np.arange(1, count + 1)
    x = np.linspace(0.0, 1.0, _INTERVALS + 1)[:, None]
    values = k * np.sinc(k * x) * (1.0 - x**3 * (10.0 - 15.0 * x + 6.0 * x * x))
    zero = np.zeros(count)
    ends = ([(1, zero), (2, -k * (math.pi * k / cutoff) ** 2 / 3)], [(1, zero), (2, zero)])
    knots = spacing * np.arange(-_DEGREE, _INTERVALS + _DEGREE + 1)
    fitted = make_interp_spline(cutoff * x[:, 0], values, _DEGREE, knots, bc_type=ends)
    return torch.from_numpy(fitted.c.copy())


def _require_degrees(degrees: list[int]) -> None:
    if not 1 <= len(degrees) <= 3 or not all(1 <= degree <= 6 for degree in degrees):
        raise TorchMLError(
            f"ACE: degrees is {degrees}, expected one to three numbers from 1 to 6: the highest l "
            "of the factors of order two, three and four"
        )
