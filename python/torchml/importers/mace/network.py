"""MACE as an `EdgeModel`: the same function, arranged for evaluation on a CPU.

I. Batatia, D. P. Kovács, G. N. C. Simm, C. Ortner and G. Csányi, NeurIPS 2022 (arXiv:2206.07697).

Features are lists of blocks [M, 2l+1, U], one for each irreducible representation of O(3): the
channels lie last, so that linear maps are single matrix products. `torchml.importers.mace.weights`
writes the plan of these modules from a MACE model, `torchml.importers.mace.plan` builds them.
"""

import torch
from torch import Tensor

from torchml.errors import ModelError
from torchml.models.base import EdgeModel, per_node
from torchml.models.radial import Expansion, RadialFunction, lengths


class Perceptron(torch.nn.Module):
    """Matrix products with SiLU between them, no biases: [E, F] -> [E, F']."""

    def __init__(self, weights: list[Tensor]) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter(weight, requires_grad=False) for weight in weights
        )
        self.last = len(weights) - 1

    def forward(self, x: Tensor) -> Tensor:
        for k, weight in enumerate(self.weights):
            x = x @ weight
            if k < self.last:
                x = torch.nn.functional.silu(x)
        return x


class PolynomialEnvelope(torch.nn.Module):
    """`polynomial` of the distance: [E, 1] -> [E, 1]."""

    def __init__(self, p: int, cutoff: float) -> None:
        super().__init__()
        self.p = p
        self.cutoff = cutoff

    def forward(self, r: Tensor) -> Tensor:
        return polynomial(r / self.cutoff, self.p)


def polynomial(x: Tensor, p: int) -> Tensor:
    """1 - (p+1)(p+2)/2 x^p + p (p+2) x^(p+1) - p (p+1)/2 x^(p+2), and 0 beyond 1."""
    x = x.clamp(max=1.0)
    inner = x * (p * (p + 2.0) - (0.5 * p * (p + 1.0)) * x) - 0.5 * (p + 1.0) * (p + 2.0)
    return 1.0 + x.pow(p) * inner


class BesselFunctions(torch.nn.Module):
    """prefactor sin(w x) / x: [E, 1] -> [E, R], with the wavenumbers w [R] (1/Å)."""

    wavenumbers: Tensor
    prefactor: Tensor

    def __init__(self, wavenumbers: Tensor, prefactor: float) -> None:
        super().__init__()
        self.register_buffer("wavenumbers", wavenumbers)
        self.register_buffer("prefactor", torch.tensor(prefactor, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.prefactor * (torch.sin(self.wavenumbers * x) / x)


class GaussianFunctions(torch.nn.Module):
    """exp(c (x - x_0)^2): [E, 1] -> [E, R], with the centers x_0 [R] (Å) and c < 0 (1/Å^2)."""

    centers: Tensor

    def __init__(self, centers: Tensor, coefficient: float) -> None:
        super().__init__()
        self.register_buffer("centers", centers)
        self.coefficient = coefficient

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(self.coefficient * (x - self.centers).pow(2))


class ChebyshevFunctions(torch.nn.Module):
    """Chebyshev polynomials T_1 ... T_R by their recursion: [E, 1] -> [E, R]."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        before, last = torch.ones_like(x), x
        columns = [last]
        for _ in range(self.count - 1):
            before, last = last, 2.0 * x * last - before
            columns.append(last)
        return torch.cat(columns, 1)


class AgnesiTransform(torch.nn.Module):
    """Distances [E, 1] (Å) as numbers between 0 and 1, by pairs of elements.

    C. van der Oord et al., J. Chem. Phys. 159, 164101 (2023).

    Args:
        radii: covalent radii (Å) by element, [Z].
        q, p, a: exponents and factor of the transform.
    """

    radii: Tensor
    q: Tensor
    p: Tensor
    a: Tensor

    def __init__(self, radii: Tensor, q: Tensor, p: Tensor, a: Tensor) -> None:
        super().__init__()
        self.register_buffer("radii", radii)
        self.register_buffer("q", q)
        self.register_buffer("p", p)
        self.register_buffer("a", a)

    def forward(self, r: Tensor, species: Tensor, edge_index: Tensor) -> Tensor:
        of_node = self.radii[species].unsqueeze(1)
        x = r / (0.5 * (of_node[edge_index[0]] + of_node[edge_index[1]]))
        share = torch.pow(x, self.q) / (1 + torch.pow(x, self.q - self.p))
        return (1 + self.a * share).reciprocal()


class SoftTransform(torch.nn.Module):
    """Distances [E, 1] (Å) that end smoothly at 3/4 of the sum of the covalent radii.

    Args:
        radii: covalent radii (Å) by element, [Z].
        alpha: steepness.
    """

    radii: Tensor
    alpha: Tensor

    def __init__(self, radii: Tensor, alpha: Tensor) -> None:
        super().__init__()
        self.register_buffer("radii", radii)
        self.register_buffer("alpha", alpha)

    def forward(self, r: Tensor, species: Tensor, edge_index: Tensor) -> Tensor:
        of_node = self.radii[species].unsqueeze(1)
        bond = of_node[edge_index[0]] + of_node[edge_index[1]]
        low, high = 0.75 * bond, 4.0 / 3.0 * bond
        steepness = self.alpha / (high - low)
        share = 0.5 * (1.0 + torch.tanh(steepness * (r - 0.5 * (low + high))))
        return low + (r - low) * share


class Basis(Expansion):
    """Functions that expand a distance, and the envelope as the last column: [E] -> [E, R + 1].

    Args:
        functions: [E, 1] -> [E, R]
        envelope: [E, 1] -> [E, 1]
        late: the functions do not carry the envelope; the weights made of them do.
    """

    __constants__ = ["compressed"]  # noqa: RUF012
    kind: Tensor

    def __init__(
        self, functions: torch.nn.Module, envelope: PolynomialEnvelope, late: bool
    ) -> None:
        super().__init__()
        self.functions = functions
        self.envelope = envelope
        self.late = late
        self.register_buffer("kind", torch.zeros((), dtype=torch.float64))  # float type

    def forward(self, r: Tensor) -> Tensor:
        return self.transformed(r, r)

    def transformed(self, r: Tensor, t: Tensor) -> Tensor:
        """The same of t [E], with the envelope of the distance r."""
        envelope = self.envelope(r.to(self.kind.dtype).unsqueeze(1))
        functions = self.functions(t.to(self.kind.dtype).unsqueeze(1))
        if not self.late:
            functions = functions * envelope
        return torch.cat([functions, envelope], 1)


class TransformedBasis(Basis):
    """The same, of distances that are transformed first, for each pair of elements otherwise."""

    @torch.jit.unused
    def forward(self, r: Tensor) -> Tensor:
        raise ModelError(
            "this MACE transforms distances by the elements: there are no functions of the "
            "distance alone that splines could stand for"
        )


class RadialWeights(RadialFunction):
    """The network that makes the weights of all paths of the expanded distance."""

    __constants__ = ["compressed"]  # noqa: RUF012

    def __init__(self, network: Perceptron, late: bool) -> None:
        super().__init__()
        self.network = network
        self.late = late

    def forward(self, expansion: Tensor) -> Tensor:
        weights: Tensor = self.network(expansion[:, :-1])
        return weights * expansion[:, -1:] if self.late else weights


class DensityShare(RadialWeights):
    """What an edge adds to the density of neighbours: [E, 1]."""

    def forward(self, expansion: Tensor) -> Tensor:
        share = torch.tanh(self.network(expansion[:, :-1]).square())
        return share * expansion[:, -1:] if self.late else share


class ElementLinear(torch.nn.Module):
    """x W[element]: [n, d, U] -> [n, d, U'] with weights [Z, U, U'], or one for all with Z = 1."""

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.elements = weights.size(0)
        self.outputs = weights.size(2)
        self.register_buffer("weights", weights.transpose(0, 1).flatten(1).contiguous())

    def forward(self, x: Tensor, species: Tensor) -> Tensor:
        y: Tensor = (x.flatten(0, 1) @ self.weights).unflatten(0, [x.size(0), x.size(1)])
        if self.elements == 1:
            return y
        y = y.unflatten(2, [self.elements, self.outputs])
        index = species.view(-1, 1, 1, 1).expand(-1, y.size(1), 1, self.outputs)
        own: Tensor = y.gather(2, index).squeeze(2)
        return own


class Harmonics(torch.nn.Module):
    """Real spherical harmonics of unit vectors: [E, 3] -> [E, (l_max + 1)^2].

    Each degree follows from the one before: Y_{l+1} is bilinear in Y_l and the vector. The
    coefficients of the steps, [3 (2l+1), 2l+3], fix order and norm.
    """

    def __init__(self, first: Tensor, steps: list[Tensor]) -> None:
        super().__init__()
        self.steps = torch.nn.ParameterList(
            torch.nn.Parameter(step, requires_grad=False) for step in steps
        )
        self.first = float(first)

    def forward(self, unit: Tensor) -> Tensor:
        y = torch.full_like(unit[:, :1], self.first)
        degrees = [y]
        for step in self.steps:
            y = (y.unsqueeze(2) * unit.unsqueeze(1)).flatten(1) @ step
            degrees.append(y)
        return torch.cat(degrees, dim=1)


class MessagePath(torch.nn.Module):
    """Messages of one kind: features of the source, times harmonics, times a radial weight.

        m[t, c, u] = sum over edges s -> t, a, b of  w[e, u] x[s, a, u] C[a, b, c] Y[e, b]

    Args:
        source: which block of the features x is.
        result: which block of the messages m belongs to.
        channels: U.
        tensor: C.
    """

    coupling: Tensor

    def __init__(self, source: int, result: int, channels: int, tensor: Tensor) -> None:
        super().__init__()
        self.source = source
        self.result = result
        self.channels = channels
        self.inputs = tensor.size(0)
        self.outputs = tensor.size(2)
        # [B, C A]: the harmonics on the left
        self.register_buffer("coupling", tensor.permute(1, 2, 0).flatten(1).contiguous())

    def forward(self, x: Tensor, harmonics: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The two factors of m: [E, C, A] and [E, A, U]."""
        angular = (harmonics @ self.coupling).unflatten(1, [self.outputs, self.inputs])
        return angular, x * weights.unsqueeze(1)


class Interaction(torch.nn.Module):
    """Messages between atoms, and what an atom keeps of its own features.

    Args:
        radial: weights of all paths, in their order.
        density: what messages are divided by, beside 1; None for no division.
        up: linear maps of the features before they are sent, by block.
        sends: which block of the features each of `up` takes.
        down: linear maps of the messages, by block; each of all paths with that result.
        keep: linear maps of the own features, by block of the result; none keeps nothing.
        kept: which block of the features each of `keep` takes.
    """

    couplings: Tensor

    def __init__(
        self,
        radial: RadialWeights,
        density: DensityShare | None,
        up: list[ElementLinear],
        sends: list[int],
        paths: list[MessagePath],
        down: list[ElementLinear],
        keep: list[ElementLinear],
        kept: list[int],
    ) -> None:
        super().__init__()
        self.radial = radial
        self.has_density = density is not None
        share: torch.nn.Module = density or torch.nn.Identity()
        self.density = share
        self.up = torch.nn.ModuleList(up)
        self.sends = sends
        self.paths = torch.nn.ModuleList(paths)
        self.down = torch.nn.ModuleList(down)
        self.keep = torch.nn.ModuleList(keep)
        self.kept = kept
        self.sources = [path.source for path in paths]
        self.results = [path.result for path in paths]
        self.columns = [path.channels for path in paths]
        self.sizes = [0] * len(down)
        for path in paths:
            self.sizes[path.result] = path.outputs
        self.terms, couplings = terms_of(paths)
        self.register_buffer("couplings", couplings)

    def forward(
        self,
        features: list[Tensor],
        species: Tensor,
        harmonics: Tensor,
        expansion: Tensor,
        edge_index: Tensor,
        order: Tensor,
        slot: Tensor,
        width: int,
        n_out: int,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Messages to the first `n_out` nodes, and what these keep, by block.

        Shapes: features [M, d, U], harmonics [E, B], expansion [E, ...], edge_index [2, E];
        `order` is that of the expansion, `slot` [E] and `width` are those of `slots_of`.
        """
        up: list[Tensor] = []
        for k, linear in enumerate(self.up):
            up.append(linear(features[self.sends[k]], species))
        if self.radial.compressed:
            sums = self.convolved(up, harmonics, expansion, edge_index, order, n_out)
        else:
            sums = self.summed(up, harmonics, expansion, edge_index, slot, width, n_out)
        own = species[:n_out]
        messages: list[Tensor] = []
        for k, linear in enumerate(self.down):
            messages.append(linear(sums[k], own))
        if self.has_density:
            share = self.density(expansion)
            total = share.new_zeros([n_out, 1]).index_add(0, edge_index[1], share) + 1.0
            messages = [message / total.unsqueeze(2) for message in messages]
        kept: list[Tensor] = []
        for k, linear in enumerate(self.keep):
            kept.append(linear(features[self.kept[k]][:n_out], own))
        return messages, kept

    def summed(
        self,
        up: list[Tensor],
        harmonics: Tensor,
        expansion: Tensor,
        edge_index: Tensor,
        slot: Tensor,
        width: int,
        n_out: int,
    ) -> list[Tensor]:
        """Sums of the messages, by block and its paths: [n_out, d, paths * U]."""
        source, target = edge_index[0], edge_index[1]
        weights = self.radial(expansion)
        if width > 0:
            # A row for each slot of a target: then the sum over edges is a matrix product.
            rows = n_out * width
            source = source.new_zeros([rows]).index_copy(0, slot, source)
            weights = weights.new_zeros([rows, weights.size(1)]).index_copy(0, slot, weights)
            harmonics = harmonics.new_zeros([rows, harmonics.size(1)]).index_copy(
                0, slot, harmonics
            )
        sent: list[Tensor] = []
        for one in up:
            # Rows of a matrix: the derivative of index_select is much faster there.
            rows_of = one.flatten(1).index_select(0, source)
            sent.append(rows_of.unflatten(1, [one.size(1), one.size(2)]))
        parts: list[list[Tensor]] = []
        for _ in self.sizes:
            empty: list[Tensor] = []
            parts.append(empty)
        columns = weights.split(self.columns, 1)
        for k, path in enumerate(self.paths):
            angular, radial = path(sent[self.sources[k]], harmonics, columns[k])
            if width > 0:
                part = grouped(angular, n_out, width) @ radial.reshape(n_out, -1, radial.size(2))
            else:
                part = scattered(angular, radial, target, n_out)
            parts[self.results[k]].append(part)
        return [torch.cat(one, dim=2) for one in parts]

    def convolved(
        self,
        up: list[Tensor],
        harmonics: Tensor,
        expansion: Tensor,
        edge_index: Tensor,
        order: Tensor,
        n_out: int,
    ) -> list[Tensor]:
        """The same by the operator of splines."""
        features = torch.cat(up, dim=1)
        sums = self.radial.convolve(
            expansion,
            features.flatten(1),
            harmonics @ self.couplings,
            edge_index,
            order,
            self.terms,
            n_out,
        )
        sums = sums.unflatten(1, [-1, features.size(2)])
        blocks: list[Tensor] = []
        begin = 0
        for k, size in enumerate(self.sizes):
            rows = size * self.results.count(k)
            blocks.append(sums[:, begin : begin + rows].reshape(n_out, size, -1))
            begin += rows
        return blocks


def terms_of(paths: list[MessagePath]) -> tuple[list[int], Tensor]:
    """The sums over a, b and paths as terms of `RadialFunction.convolve`, and their factors [B, F].

    A factor is a sum of harmonics; those that many terms share are made once.
    """
    begins: dict[int, int] = {}
    for path in paths:
        begins.setdefault(path.source, path.inputs)
    rows = [sum(begins[k] for k in range(block)) for block in range(len(begins))]
    results = sorted({path.result for path in paths})
    terms: list[int] = []
    factors: list[Tensor] = []
    first = 0
    for result in results:
        own = [(k, path) for k, path in enumerate(paths) if path.result == result]
        for c in range(own[0][1].outputs):
            for place, (k, path) in enumerate(own):
                for a in range(path.inputs):
                    factor = path.coupling[:, c * path.inputs + a]
                    if not bool(factor.abs().max() > 1e-14):
                        continue
                    same = [f for f, one in enumerate(factors) if bool(torch.equal(one, factor))]
                    if not same:
                        factors.append(factor)
                    number = same[0] if same else len(factors) - 1
                    terms += [first + c * len(own) + place, rows[path.source] + a, k, number]
        first += own[0][1].outputs * len(own)
    return terms, torch.stack(factors, dim=1)


def grouped(angular: Tensor, nodes: int, width: int) -> Tensor:
    """[n K, C, A] -> [n, C, K A]"""
    c, a = angular.size(1), angular.size(2)
    return angular.view(nodes, width, c, a).transpose(1, 2).reshape(nodes, c, width * a)


def scattered(angular: Tensor, radial: Tensor, target: Tensor, nodes: int) -> Tensor:
    """Products [E, C, A] [E, A, U] edge by edge, summed at the targets: [n, C, U]."""
    product = angular[:, :, :1] * radial[:, :1]
    for a in range(1, angular.size(2)):
        product = product + angular[:, :, a : a + 1] * radial[:, a : a + 1]
    zeros = product.new_zeros([nodes, product.size(1), product.size(2)])
    return zeros.index_add(0, target, product)


def scripting() -> bool:
    """Whether TorchScript runs this; compilers do better without the table of `slots_of`."""
    return bool(torch.jit.is_scripting())  # type: ignore[attr-defined]


def slots_of(target: Tensor, nodes: int) -> tuple[Tensor, int]:
    """A place for each edge in a table with `width` slots for each node: [E], width.

    Width 0 stands for no table: it would have far more slots than there are edges.
    """
    count = torch.bincount(target, minlength=nodes)
    width = int(count.max()) if target.size(0) > 0 else 0
    if width * nodes > 2 * target.size(0):
        return target, 0
    order = torch.argsort(target, stable=True)
    begin = torch.cumsum(count, 0) - count
    rank = torch.arange(target.size(0), device=target.device) - begin.index_select(
        0, target.index_select(0, order)
    )
    rank = torch.empty_like(rank).index_copy(0, order, rank)
    return target * width + rank, width


class Degree(torch.nn.Module):
    """Monomials of one degree, and what they add to the results.

    A monomial is one of the degree before times a component of x; `parent` and `factor` [P] name
    them; those of the first degree are all of x. `coefficients` [U, Z C, P] give the results' C
    components for each element.
    """

    parent: Tensor
    factor: Tensor
    coefficients: Tensor

    def __init__(self, first: bool, parent: Tensor, factor: Tensor, coefficients: Tensor) -> None:
        super().__init__()
        self.first = first
        self.register_buffer("parent", parent)
        self.register_buffer("factor", factor)
        self.register_buffer("coefficients", coefficients)

    def forward(self, lower: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Monomials [P, U, n] and results [U, Z C, n]."""
        monomials = x
        if not self.first:
            monomials = lower.index_select(0, self.parent) * x.index_select(0, self.factor)
        return monomials, torch.bmm(self.coefficients, monomials.transpose(0, 1))


class Product(torch.nn.Module):
    """Many-body features: polynomials of the messages, then linear maps (eqs. 10 and 11).

    MACE contracts the messages with dense coupling tensors. Of these polynomials' coefficients
    most are zero: here they are summed over the monomials that occur.

    Attributes:
        sizes: components of each block of the result.
        linear: weights [U', U] by block.
    """

    def __init__(
        self, degrees: list[Degree], elements: int, sizes: list[int], linear: list[Tensor]
    ) -> None:
        super().__init__()
        self.degrees = torch.nn.ModuleList(degrees)
        self.elements = elements
        self.sizes = sizes
        self.linear = torch.nn.ParameterList(
            torch.nn.Parameter(weight, requires_grad=False) for weight in linear
        )

    def forward(self, messages: list[Tensor], kept: list[Tensor], species: Tensor) -> list[Tensor]:
        """Blocks [n, d, U'] of messages [n, d, U]; `kept`, where there are any, is added."""
        x = torch.cat(messages, dim=1).permute(1, 2, 0).contiguous()  # [D, U, n]
        powers, results = x, x
        for k, degree in enumerate(self.degrees):
            powers, result = degree(powers, x)
            results = result if k == 0 else results + result
        if self.elements > 1:
            results = results.unflatten(1, [self.elements, -1])
            index = species.view(1, 1, 1, -1).expand(results.size(0), 1, results.size(2), -1)
            results = results.gather(1, index).squeeze(1)
        features: list[Tensor] = []
        begin = 0
        for k, weight in enumerate(self.linear):
            size = self.sizes[k]
            block = results[:, begin : begin + size]
            begin += size
            block = (weight @ block.reshape(block.size(0), -1)).view(-1, size, species.size(0))
            block = block.permute(2, 1, 0)
            features.append(block + kept[k] if len(kept) > 0 else block.contiguous())
        return features


class Readout(torch.nn.Module):
    """Energies [n, 1] of invariant features [n, U]: linear, or one hidden layer with a gate."""

    def __init__(self, weights: list[Tensor], gate: str) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter(weight, requires_grad=False) for weight in weights
        )
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        for k, weight in enumerate(self.weights):
            if k > 0 and self.gate == "silu":
                x = torch.nn.functional.silu(x)
            elif k > 0 and self.gate == "tanh":
                x = torch.tanh(x)
            elif k > 0 and self.gate == "abs":
                x = torch.abs(x)
            x = x @ weight
        return x


class Repulsion(torch.nn.Module):
    """Half of the repulsion of Ziegler, Biersack and Littmark for each edge, at its target.

    It ends where the covalent radii of the pair touch.

    Args:
        charges: Z of the elements.
        radii: covalent, by element (Å).
        screening: Z^a / (0.529 Å b), by element, with the exponent a and factor b of the length.
        coefficients: of the four exponentials.
        p: of the envelope.
    """

    charges: Tensor
    radii: Tensor
    screening: Tensor
    coefficients: Tensor

    def __init__(
        self, charges: Tensor, radii: Tensor, screening: Tensor, coefficients: Tensor, p: int
    ) -> None:
        super().__init__()
        self.register_buffer("charges", charges)
        self.register_buffer("radii", radii)
        self.register_buffer("screening", screening)
        self.register_buffer("coefficients", coefficients)
        self.p = p

    def forward(self, r: Tensor, species: Tensor, edge_index: Tensor, n_out: int) -> Tensor:
        """Energies [n_out] of the first nodes; shapes: r [E], species [M]."""
        one = species.index_select(0, edge_index[0])
        two = species.index_select(0, edge_index[1])
        x = r * (self.screening[one] + self.screening[two])
        c = self.coefficients
        screened = c[0] * torch.exp(-3.2 * x) + c[1] * torch.exp(-0.9423 * x)
        screened = screened + c[2] * torch.exp(-0.4028 * x) + c[3] * torch.exp(-0.2016 * x)
        energy = 0.5 * 14.3996 * self.charges[one] * self.charges[two] / r * screened
        end = self.radii[one] + self.radii[two]
        energy = energy * polynomial(r / end, self.p)
        return energy.new_zeros([n_out]).index_add(0, edge_index[1], energy)


class Layer(torch.nn.Module):
    """Interaction, product and, if there is one, the readout of the block `scalars`."""

    __constants__ = ("has_readout",)

    def __init__(
        self, interaction: Interaction, product: Product, readout: Readout | None, scalars: int
    ) -> None:
        super().__init__()
        self.interaction = interaction
        self.product = product
        self.has_readout = readout is not None
        self.readout = readout if readout is not None else torch.nn.Identity()
        self.scalars = scalars

    def forward(
        self,
        features: list[Tensor],
        species: Tensor,
        harmonics: Tensor,
        expansion: Tensor,
        edge_index: Tensor,
        order: Tensor,
        slot: Tensor,
        width: int,
        n_out: int,
        n_0: int,
    ) -> tuple[list[Tensor], Tensor]:
        """Features of the first `n_out` nodes and energies [n_0, 1] of the first `n_0`."""
        messages, kept = self.interaction(
            features, species, harmonics, expansion, edge_index, order, slot, width, n_out
        )
        features = self.product(messages, kept, species[:n_out])
        scalars = features[self.scalars][:n_0, 0]
        energies = self.readout(scalars) if self.has_readout else scalars.new_zeros([n_0, 1])
        return features, energies


class MACE(EdgeModel):
    """Energies of a MACE without those of the isolated atoms, before scale and shift.

    `torchml.importers.mace.model.load` builds it.

    Args:
        species: chemical symbols, in the order of the elements of the weights.
        cutoff: radius of one message (Å).
        blocks: the layers.
        embedding: features [Z, U] of the elements.
        basis: expands distances, for all layers.
        harmonics: of the directions of edges.
        transform: MACE's transform of the distances, if it has one.
        repulsion: of pairs that are close, if the model has one.
    """

    embedding: Tensor

    exact_distances = True
    __constants__ = ("has_transform", "has_repulsion")

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        blocks: list[Layer],
        embedding: Tensor,
        basis: Basis,
        harmonics: Harmonics,
        transform: torch.nn.Module | None = None,
        repulsion: Repulsion | None = None,
    ) -> None:
        super().__init__(species, cutoff, len(blocks))
        self.blocks = torch.nn.ModuleList(blocks)
        self.basis = basis
        self.harmonics = harmonics
        self.register_buffer("embedding", embedding)
        none: torch.nn.Module = torch.nn.Identity()
        self.has_transform = transform is not None
        self.transform = transform or none
        self.has_repulsion = repulsion is not None
        self.repulsion = repulsion or none

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r = lengths(edge_vectors)
        dtype = self.embedding.dtype
        # MACE's vectors go from the source to the target.
        harmonics = self.harmonics((edge_vectors / -r.unsqueeze(1)).to(dtype))
        if self.has_transform:
            t = self.transform(r.to(dtype).unsqueeze(1), species, edge_index).squeeze(1)
            expansion = self.basis.transformed(r, t)
        else:
            expansion = self.basis(r)
        order = self.basis.order(edge_index, species.size(0))
        slot, width = edge_index[1], 0
        if not self.basis.compressed and scripting():
            slot, width = slots_of(slot, node_counts[self.layers - 1])

        elements = species
        features = [self.embedding.index_select(0, species).unsqueeze(1)]
        n_0 = node_counts[0]
        energies = harmonics.new_zeros([n_0, 1])
        shell = self.layers
        for block in self.blocks:
            shell -= 1
            n, n_out = edge_counts[shell], node_counts[shell]
            features, more = block(
                features,
                species,
                harmonics[:n],
                expansion[:n],
                edge_index[:, :n],
                order,
                slot[:n],
                width,
                n_out,
                n_0,
            )
            energies = energies + more
            species = species[:n_out]
        if self.has_repulsion:
            n = edge_counts[0]
            pairs = self.repulsion(r[:n].to(dtype), elements, edge_index[:, :n], n_0)
            energies = energies + pairs.unsqueeze(1)
        return per_node(energies, elements)
