"""TensorNet: messages of Cartesian tensors of rank two.

G. Simeon and G. De Fabritiis, NeurIPS 2023 (arXiv:2306.06482).

A tensor X [3, 3] of an atom has a part that is a scalar (I), one that is a vector (A,
antisymmetric) and one without trace (S, symmetric). They are kept as the nine rows

    I;  A_x A_y A_z;  S_xx S_yy S_xy S_xz S_yz        (S_zz = - S_xx - S_yy)

so that a filter, which is one number per part, multiplies rows, and become matrices only where
tensors are multiplied with one another.
"""

import functools

import torch
from torch import Tensor
from torch.nn.functional import silu

from torchml.models.base import FeatureModel, float_type
from torchml.models.perceptron import perceptron
from torchml.models.radial import (
    EnvelopedBessel,
    Filters,
    LinearFilter,
    RadialFunction,
    has_kernels,
    polar,
    with_bias,
)

_PART_OF_ROW = [0, 1, 1, 1, 2, 2, 2, 2, 2]


def rows_of_directions(unit: Tensor) -> Tensor:
    """The tensors of unit vectors: 1, the vector, and u (x) u - 1/3. [3, E] -> [E, 9]"""
    x, y, z = unit.unbind(0)
    third = 1.0 / 3.0
    rows = [torch.ones_like(x), x, y, z, x * x - third, y * y - third, x * y, x * z, y * z]
    return torch.stack(rows, 1)


def to_matrices(rows: Tensor) -> Tensor:
    """[M, 9, F] -> [M, 3, 3, F]"""
    i, ax, ay, az, sxx, syy, sxy, sxz, syz = rows.unbind(1)
    entries = [i + sxx, sxy - az, sxz + ay, sxy + az, i + syy, syz - ax]
    entries += [sxz - ay, syz + ax, i - sxx - syy]
    return torch.stack(entries, 1).view(rows.size(0), 3, 3, rows.size(2))


def to_rows(m: Tensor) -> Tensor:
    """[M, 3, 3, F] -> [M, 9, F], the inverse of `to_matrices`."""
    i = (m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]) * (1.0 / 3.0)
    turn = [m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]]
    stretch = [m[:, 0, 1] + m[:, 1, 0], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1]]
    halves = 0.5 * torch.stack(turn + stretch, 1)
    ends = torch.stack([i, m[:, 0, 0] - i, m[:, 1, 1] - i], 1)
    return torch.cat([ends[:, :1], halves[:, :3], ends[:, 1:], halves[:, 3:]], 1)


def _squares(rows: Tensor) -> Tensor:
    i, a, s, t = rows.split([1, 3, 2, 3], 1)
    trace_free = s.square().sum(1) + s.sum(1).square() + 2.0 * t.square().sum(1)
    return torch.stack([3.0 * i.square().squeeze(1), 2.0 * a.square().sum(1), trace_free], 1)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix products of each feature. [M, 3, 3, F] twice -> [M, 3, 3, F]"""
    c = a[:, :, 0].unsqueeze(2) * b[:, 0].unsqueeze(1)
    c = torch.addcmul(c, a[:, :, 1].unsqueeze(2), b[:, 1].unsqueeze(1))
    return torch.addcmul(c, a[:, :, 2].unsqueeze(2), b[:, 2].unsqueeze(1))


@functools.cache
@torch.inference_mode(False)  # tensors that are kept must be fit for training
@torch.no_grad()
def _terms_of(kind: str, dtype: torch.dtype, device: torch.device) -> tuple[list[int], Tensor]:
    """A function of pairs of tensors as terms of `torchml::messages`, and factors [1, values].

    A row of the result is a sum of rows of A times rows of B, as pairs of tensors show that have
    one row each.
    """
    rows = torch.eye(9, dtype=torch.float64).unsqueeze(2)
    a, b = rows.repeat_interleave(9, 0), rows.repeat(9, 1, 1)
    if kind == "product":
        left, right = to_matrices(a), to_matrices(b)
        table = to_rows(product(left, right) + product(right, left))
    else:  # squares(A + B) = squares(A) + squares(B) + 2 (A, B)
        table = 0.5 * (_squares(a + b) - _squares(a) - _squares(b))
        if kind == "norm":
            table = table.sum(1, keepdim=True)
    table = table.view(9, 9, -1)
    values = sorted({round(float(value), 12) for value in table.flatten()} - {0.0})
    terms: list[int] = []
    for left_row, right_row, out in torch.nonzero(table.abs() > 1e-9).tolist():
        value = round(float(table[left_row, right_row, out]), 12)
        terms += [out, right_row, left_row, values.index(value)]
    exact = [round(3 * value) / 3 for value in values]
    return terms, torch.tensor([exact], dtype=dtype, device=device)


def _by_operator(kind: str, a: Tensor, b: Tensor, scale: float = 1.0) -> Tensor:
    """scale * function(A, B): messages from each atom to itself, with A as the filters."""
    n, width = a.size(0), a.size(2)
    terms, factors = _terms_of(kind, a.dtype, a.device)
    index = torch.arange(n, device=a.device).expand(2, n)
    order = torch.ops.torchml.edge_order(index, n)
    sums: Tensor = torch.ops.torchml.messages(
        a.flatten(1), None, b.flatten(1), (scale * factors).expand(n, -1), index, order, terms, n
    )
    return sums.view(n, sums.size(1) // width, width)


def symmetric_product(a: Tensor, b: Tensor) -> Tensor:
    """A B + B A of each feature. [M, 9, F] twice -> [M, 9, F]

    The sum of both orders keeps even and odd parts separate: the energy is invariant under
    reflections.
    """
    if not torch.jit.is_scripting() and has_kernels(a):  # type: ignore[attr-defined]
        return _by_operator("product", a, b)
    left, right = to_matrices(a), to_matrices(b)
    return to_rows(product(left, right) + product(right, left))


def square(a: Tensor) -> Tensor:
    """A A of each feature. [M, 9, F] -> [M, 9, F]"""
    if not torch.jit.is_scripting() and has_kernels(a):  # type: ignore[attr-defined]
        return _by_operator("product", a, a, 0.5)
    matrix = to_matrices(a)
    return to_rows(product(matrix, matrix))


def squares(rows: Tensor) -> Tensor:
    """Squared Frobenius norms of the three parts. [M, 9, F] -> [M, 3, F]"""
    if not torch.jit.is_scripting() and has_kernels(rows):  # type: ignore[attr-defined]
        return _by_operator("squares", rows, rows)
    return _squares(rows)


def norms(rows: Tensor) -> Tensor:
    """Squared Frobenius norms of the tensors. [M, 9, F] -> [M, 1, F]"""
    if not torch.jit.is_scripting() and has_kernels(rows):  # type: ignore[attr-defined]
        return _by_operator("norm", rows, rows)
    return _squares(rows).sum(1, keepdim=True)


def bounded(rows: Tensor) -> Tensor:
    """Tensors divided by one plus their squared norm."""
    return rows * (1.0 + norms(rows)).reciprocal()


class Mixing(torch.nn.Module):
    """Linear combinations of the features, for each part of the tensors with its own weights."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scalar = torch.nn.Linear(features, features, bias=False)
        self.vector = torch.nn.Linear(features, features, bias=False)
        self.tensor = torch.nn.Linear(features, features, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        """[M, 9, F] -> [M, 9, F]"""
        i, a, s = rows.split([1, 3, 5], 1)  # the derivative of split is one pass
        return torch.cat([self.scalar(i), self.vector(a), self.tensor(s)], 1)


class Filter(RadialFunction, torch.nn.Sequential):
    """A network of the radial basis, times the envelope."""

    def __init__(self, features: int, radial: int) -> None:
        torch.nn.Sequential.__init__(self, *perceptron(radial, features, 3 * features))

    def forward(self, expansion: Tensor) -> Tensor:
        """[E, R + 1] -> [E, 3 F]"""
        values = expansion[:, :-1]
        for layer in self:
            values = layer(values)
        return values * expansion[:, -1:]

    def filters(self, expansion: Tensor) -> Filters:
        values, envelope = expansion.split([expansion.size(1) - 1, 1], 1)
        *layers, last = self
        for layer in layers:
            values = layer(values)
        assert isinstance(last, torch.nn.Linear)
        return with_bias(values, last.weight, last.bias, envelope)


class Interaction(torch.nn.Module):
    """Messages of the neighbours' tensors, and their products with those of the atom (sec. 3.2)."""

    part_of_row: Tensor

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        self.filter = Filter(features, radial)
        self.terms = [k for row, part in enumerate(_PART_OF_ROW) for k in (row, row, part, -1)]
        self.before = Mixing(features)
        self.after = Mixing(features)
        self.register_buffer("part_of_row", torch.tensor(_PART_OF_ROW), persistent=False)

    def forward(
        self, x: Tensor, basis: Tensor, edge_index: Tensor, order: Tensor, n_out: int
    ) -> Tensor:
        """Return the tensors of the first `n_out` nodes after the layer.

        Shapes: x [M, 9, F], basis [E, ...], edge_index [2, E]; result [n_out, 9, F].
        """
        x = bounded(x)
        y = self.before(x)
        f = x.size(2)
        if self.filter.compressed or has_kernels(y):
            received = self.filter.convolve(
                basis, y.flatten(1), None, edge_index, order, self.terms, n_out
            ).view(n_out, 9, f)
        else:
            filters = self.filter(basis).view(-1, 3, f).index_select(1, self.part_of_row)
            messages = y.index_select(0, edge_index[0]) * filters
            received = y.new_zeros([n_out, 9, f]).index_add(0, edge_index[1], messages)
        change = self.after(bounded(symmetric_product(y[:n_out], received)))
        result: Tensor = x[:n_out] + change + square(change)
        return result


class TensorNet(FeatureModel):
    """Equivariant message passing with tensors of rank two, multiplied with one another.

    The products make it accurate for small training sets: there it generalises better than
    networks of scalars and vectors, at about twice the cost of PaiNN per feature.

    Args:
        species: chemical symbols, in the order of the species codes.
        cutoff: radius of one message (Å).
        layers: passes over the edges: one makes the tensors, the others are interactions.
        features: number of tensors of an atom.
        radial_functions: number of Bessel functions that expand a distance.
        dtype: float type of the weights, float32 or float64.
    """

    exact_distances = True
    part_of_row: Tensor

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        layers: int = 2,
        features: int = 32,
        radial_functions: int = 12,
        dtype: str = "float64",
    ) -> None:
        super().__init__(
            species, cutoff, layers, features=features, radial_functions=radial_functions
        )
        self.source = torch.nn.Embedding(len(species), features)
        self.target = torch.nn.Embedding(len(species), features)
        self.bessel = EnvelopedBessel(radial_functions, cutoff, times_envelope=False)
        self.filter = LinearFilter(radial_functions, 3 * features)
        self.terms = [k for row, part in enumerate(_PART_OF_ROW) for k in (row, 0, part, row)]
        self.norm = torch.nn.LayerNorm(features)
        self.gates = perceptron(features, 2 * features, 3 * features)
        self.mixing = Mixing(features)
        self.interactions = torch.nn.ModuleList(
            Interaction(features, radial_functions) for _ in range(layers - 1)
        )
        self.last_norm = torch.nn.LayerNorm(3 * features)
        self.invariants = perceptron(3 * features, features, features)
        self.readout = torch.nn.Linear(features, 1)
        self.register_buffer("part_of_row", torch.tensor(_PART_OF_ROW), persistent=False)
        self.to(float_type(dtype))

    def node_features(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r, unit = polar(edge_vectors)
        basis, order = self.bessel(r), self.bessel.order(edge_index, species.size(0))
        directions = rows_of_directions(unit.to(self.norm.weight.dtype))
        x = self.density(species, basis, directions, edge_index, order, node_counts[-2])
        for k, interaction in enumerate(self.interactions):
            n, nodes = edge_counts[-2 - k], node_counts[-3 - k]
            x = interaction(x, basis[:n], edge_index[:, :n], order, nodes)
        invariants = self.last_norm(squares(x).flatten(1))
        return silu(self.invariants(invariants))

    def hidden(self, features: Tensor) -> Tensor:
        return features

    @torch.jit.unused
    def last_weights(self) -> list[torch.nn.Parameter]:
        return list(self.readout.parameters())

    def density(
        self,
        species: Tensor,
        basis: Tensor,
        directions: Tensor,
        edge_index: Tensor,
        order: Tensor,
        n_out: int,
    ) -> Tensor:
        """Return the tensors of the atoms from the directions (sec. 3.1): [n_out, 9, F]."""
        if self.filter.compressed or has_kernels(directions):
            sums = self.filter.convolve(
                basis, self.source(species), directions, edge_index, order, self.terms, n_out
            )
            x = sums.view(n_out, 9, self.width) * self.target(species[:n_out]).unsqueeze(1)
        else:
            source = self.source(species).index_select(0, edge_index[0])
            target = self.target(species).index_select(0, edge_index[1])
            filters = self.filter(basis).view(-1, 3, self.width) * (source * target).unsqueeze(1)
            edges = filters.index_select(1, self.part_of_row) * directions.unsqueeze(2)
            x = edges.new_zeros([n_out, 9, self.width]).index_add(0, edge_index[1], edges)
        gates = silu(self.gates(self.norm(norms(x).squeeze(1)))).view(-1, 3, self.width)
        mixed: Tensor = self.mixing(x) * gates.index_select(1, self.part_of_row)
        return mixed
