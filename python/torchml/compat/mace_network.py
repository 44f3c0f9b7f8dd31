"""MACE as an `EdgeModel`: the same function, arranged for evaluation on a CPU.

I. Batatia, D. P. Kovács, G. N. C. Simm, C. Ortner and G. Csányi, NeurIPS 2022 (arXiv:2206.07697).

Features are lists of blocks [M, 2l+1, U], one for each irreducible representation of O(3): the
channels lie last, so that linear maps are single matrix products. `torchml.compat.mace` fills these
modules with the weights of a MACE model.
"""

import torch
from torch import Tensor

import torchml._core as core
from torchml.models.base import EdgeModel, per_node
from torchml.models.radial import lengths


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
    """1 - (p+1)(p+2)/2 x^p + p (p+2) x^(p+1) - p (p+1)/2 x^(p+2), x = r / cutoff; 0 beyond."""

    def __init__(self, p: int, cutoff: float) -> None:
        super().__init__()
        self.p = p
        self.cutoff = cutoff

    def forward(self, r: Tensor) -> Tensor:
        p = self.p
        x = (r / self.cutoff).clamp(max=1.0)
        inner = x * (p * (p + 2.0) - (0.5 * p * (p + 1.0)) * x) - 0.5 * (p + 1.0) * (p + 2.0)
        return 1.0 + x.pow(p) * inner


class RadialWeights(torch.nn.Module):
    """Radial weights of all paths of an interaction, of the distance r and its transform t.

    Args:
        basis: functions that expand t, [E, 1] -> [E, R].
        envelope: of r, [E, 1] -> [E, 1]; on the basis, or with `late` on the weights.
        weights: the network that follows.
        density: one that gives an edge's share of the density of neighbours, as the last column.
    """

    def __init__(
        self,
        basis: torch.nn.Module,
        envelope: torch.nn.Module,
        late: bool,
        weights: Perceptron,
        density: Perceptron | None,
    ) -> None:
        super().__init__()
        self.basis = basis
        self.envelope = envelope
        self.late = late
        self.weights = weights
        self.has_density = density is not None
        self.density = density if density is not None else torch.nn.Identity()

    def forward(self, r: Tensor, t: Tensor) -> Tensor:
        """Shapes: r and t [E], result [E, columns of all paths, and of the density]."""
        envelope = self.envelope(r.unsqueeze(1))
        basis = self.basis(t.unsqueeze(1))
        if not self.late:
            basis = basis * envelope
        weights: Tensor = self.weights(basis)
        if self.has_density:
            density = torch.tanh(self.density(basis).square())
            weights = torch.cat([weights, density], dim=1)
        return weights * envelope if self.late else weights


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

    Attributes:
        source: which block of the features x is.
        channels: columns of the radial weights.
        result: which block of the messages m belongs to.
    """

    coupling: Tensor

    def __init__(self, source: int, channels: int, result: int, coupling: Tensor) -> None:
        super().__init__()
        self.source = source
        self.channels = channels
        self.result = result
        self.inputs = coupling.size(0)
        self.outputs = coupling.size(2)
        # [B, C A]: the harmonics on the left
        self.register_buffer("coupling", coupling.permute(1, 2, 0).flatten(1).contiguous())

    def forward(self, x: Tensor, harmonics: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The two factors of m: [E, C, A] and [E, A, U]."""
        angular = (harmonics @ self.coupling).unflatten(1, [self.outputs, self.inputs])
        return angular, x * weights.unsqueeze(1)


class Interaction(torch.nn.Module):
    """Messages between atoms, and what an atom keeps of its own features.

    Args:
        radial: radial weights of the messages; with `density`, one more column.
        up: linear maps of the features before they are sent, by block.
        sends: which block of the features each of `up` takes.
        down: linear maps of the messages, by block; each of all paths with that result.
        keep: linear maps of the own features, by block of the result; none keeps nothing.
        kept: which block of the features each of `keep` takes.
        density: messages are divided by 1 + a learnt density of neighbours.
    """

    def __init__(
        self,
        radial: torch.nn.Module,
        up: list[ElementLinear],
        sends: list[int],
        paths: list[MessagePath],
        down: list[ElementLinear],
        keep: list[ElementLinear],
        kept: list[int],
        density: bool,
    ) -> None:
        super().__init__()
        self.radial = radial
        self.up = torch.nn.ModuleList(up)
        self.sends = sends
        self.paths = torch.nn.ModuleList(paths)
        self.down = torch.nn.ModuleList(down)
        self.keep = torch.nn.ModuleList(keep)
        self.kept = kept
        self.density = density
        self.sources = [path.source for path in paths]
        self.results = [path.result for path in paths]
        self.columns = [path.channels for path in paths] + [1] * density

    def forward(
        self,
        features: list[Tensor],
        species: Tensor,
        harmonics: Tensor,
        r: Tensor,
        t: Tensor,
        edge_index: Tensor,
        slot: Tensor,
        width: int,
        n_out: int,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Messages to the first `n_out` nodes, and what these keep, by block.

        Shapes: features [M, d, U], harmonics [E, B], r and t [E], edge_index [2, E]; `slot` [E]
        and `width` are those of `slots_of`.
        """
        source, target = edge_index[0], edge_index[1]
        weights = self.radial(r, t)
        density = weights[:, -1:]
        if width > 0:
            # A row for each slot of a target: then the sum over edges is a matrix product.
            rows = n_out * width
            source = source.new_zeros([rows]).index_copy(0, slot, source)
            weights = weights.new_zeros([rows, weights.size(1)]).index_copy(0, slot, weights)
            harmonics = harmonics.new_zeros([rows, harmonics.size(1)]).index_copy(
                0, slot, harmonics
            )
        sent: list[Tensor] = []
        for k, up in enumerate(self.up):
            # Rows of a matrix: the derivative of index_select is much faster there.
            one = up(features[self.sends[k]], species)
            sent.append(one.flatten(1).index_select(0, source).unflatten(1, [one.size(1), -1]))

        parts: list[list[Tensor]] = []
        for _ in self.down:
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

        own = species[:n_out]
        messages: list[Tensor] = []
        for k, down in enumerate(self.down):
            messages.append(down(torch.cat(parts[k], dim=2), own))
        if self.density:
            total = density.new_zeros([n_out, 1]).index_add(0, target, density) + 1.0
            messages = [message / total.unsqueeze(2) for message in messages]
        kept: list[Tensor] = []
        for k, keep in enumerate(self.keep):
            kept.append(keep(features[self.kept[k]][:n_out], own))
        return messages, kept


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

    A monomial is one of the degree before times a component of x; `parent` and `factor` [P] say
    which; those of the first degree are all of x. `coefficients` [U, Z C, P] give the results' C
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
        r: Tensor,
        t: Tensor,
        edge_index: Tensor,
        slot: Tensor,
        width: int,
        n_out: int,
        n_0: int,
    ) -> tuple[list[Tensor], Tensor]:
        """Features of the first `n_out` nodes and energies [n_0, 1] of the first `n_0`."""
        messages, kept = self.interaction(
            features, species, harmonics, r, t, edge_index, slot, width, n_out
        )
        features = self.product(messages, kept, species[:n_out])
        scalars = features[self.scalars][:n_0, 0]
        energies = self.readout(scalars) if self.has_readout else scalars.new_zeros([n_0, 1])
        return features, energies


class MACE(EdgeModel):
    """Energies of a MACE without those of the isolated atoms, before scale and shift.

    `torchml.compat.mace.load` builds it.

    Args:
        species: chemical symbols, in the order of the elements of the weights.
        cutoff: radius of one message (Å).
        blocks: the layers.
        embedding: features [Z, U] of the elements.
        harmonics: of the directions of edges.
        transform: MACE's transform of the distances, if it has one.
        repulsion: MACE's pair repulsion, if it has one.
    """

    embedding: Tensor
    atomic_numbers: Tensor

    __constants__ = ("has_transform", "has_repulsion")

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        blocks: list[Layer],
        embedding: Tensor,
        harmonics: Harmonics,
        transform: torch.nn.Module | None = None,
        repulsion: torch.nn.Module | None = None,
    ) -> None:
        super().__init__(species, cutoff, len(blocks))
        self.blocks = torch.nn.ModuleList(blocks)
        self.harmonics = harmonics
        self.register_buffer("embedding", embedding)
        numbers = [core.atomic_number(symbol) for symbol in species]
        self.register_buffer("atomic_numbers", torch.tensor(numbers))
        self.has_transform = transform is not None
        self.transform: torch.nn.Module = (
            transform if transform is not None else torch.nn.Identity()
        )
        self.has_repulsion = repulsion is not None
        self.repulsion: torch.nn.Module = (
            repulsion if repulsion is not None else torch.nn.Identity()
        )

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r = lengths(edge_vectors)
        # MACE's vectors go from the source to the target.
        harmonics = self.harmonics(edge_vectors / -r.unsqueeze(1))
        one_hot = torch.nn.functional.one_hot(species, len(self.species)).to(r.dtype)
        t = r
        if self.has_transform:
            column = self.transform(r.unsqueeze(1), one_hot, edge_index, self.atomic_numbers)
            t = column.squeeze(1)
        target = edge_index[1]
        slot, width = target, 0
        # Compilers do better without the table.
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            slot, width = slots_of(target, node_counts[self.layers - 1])

        features = [self.embedding.index_select(0, species).unsqueeze(1)]
        n_0 = node_counts[0]
        energies = r.new_zeros([n_0, 1])
        shell = self.layers
        for block in self.blocks:
            shell -= 1
            n, n_out = edge_counts[shell], node_counts[shell]
            features, more = block(
                features,
                species,
                harmonics[:n],
                r[:n],
                t[:n],
                edge_index[:, :n],
                slot[:n],
                width,
                n_out,
                n_0,
            )
            energies = energies + more
            species = species[:n_out]
        if self.has_repulsion:
            n = edge_counts[0]
            pairs = self.repulsion(
                r[:n].unsqueeze(1), one_hot, edge_index[:, :n], self.atomic_numbers
            )
            energies = energies + pairs[:n_0].unsqueeze(1)
        return per_node(energies, one_hot[:, 0])
