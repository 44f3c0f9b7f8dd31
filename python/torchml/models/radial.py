"""Functions of the distance: basis functions, and envelopes that vanish at the cutoff."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

import torchml._core  # registers the operators  # noqa: F401
from torchml.models.curves import Curves


def lengths(vectors: Tensor) -> Tensor:
    """Return the lengths [E] of vectors [E, 3]; no vector may be zero."""
    return vectors.square().sum(1).sqrt()


def polar(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return lengths [E] and unit vectors [3, E] of vectors [E, 3]; no vector may be zero.

    Sums over three components, which derivatives contain, are fast where edges are side by side.
    """
    columns = vectors.t().contiguous()
    r = columns.square().sum(0).sqrt()
    return r, columns / r


def smooth_step(t: Tensor) -> Tensor:
    """10 t^3 - 15 t^4 + 6 t^5: from 0 at 0 to 1 at 1, where slope and curvature vanish."""
    return t * t * t * (10.0 + t * (6.0 * t - 15.0))


def cosine_envelope(r: Tensor, cutoff: float) -> Tensor:
    """(1 + cos(pi r / cutoff)) / 2, and 0 beyond: value and slope vanish at the cutoff."""
    envelope = 0.5 * (torch.cos(r * (math.pi / cutoff)) + 1.0)
    return torch.where(r < cutoff, envelope, torch.zeros_like(envelope))


def polynomial_envelope(r: Tensor, cutoff: float) -> Tensor:
    """1 - 28 x^6 + 48 x^7 - 21 x^8 with x = r / cutoff, and 0 beyond.

    Value, slope and curvature vanish at the cutoff; the function is close to 1 over most of the
    range.
    J. Gasteiger, J. Groß and S. Günnemann, ICLR 2020 (arXiv:2003.03123), eq. 8 with p = 6.
    """
    x = (r / cutoff).clamp(max=1.0)
    return 1.0 + x.pow(6) * (x * (48.0 - 21.0 * x) - 28.0)


def has_kernels(x: Tensor) -> bool:
    """Return whether `torchml::messages` sums messages of such features: in Python.

    Archives without splines load with torch alone, and compilers fuse torch's own operations.
    """
    if not torch.jit.is_scripting():  # type: ignore[attr-defined]
        return type(x) is Tensor or type(x) is torch.nn.Parameter  # a compiler has a subclass
    return False


class Filters(NamedTuple):
    """Functions of the distance: values, or values @ weight^T, times the envelope.

    values [E, K] or [E, inputs]; weight [K, inputs] or None; envelope [E, 1] or None.
    """

    values: Tensor
    weight: Tensor | None = None
    envelope: Tensor | None = None


def with_bias(values: Tensor, weight: Tensor, bias: Tensor, envelope: Tensor) -> Filters:
    """Return (values @ weight^T + bias) * envelope, with the bias as a column of the weight."""
    inputs = torch.cat([values * envelope, envelope], 1)
    return Filters(inputs, torch.cat([weight, bias.unsqueeze(1)], 1))


class Expansion(torch.nn.Module):
    """Common input of all radial functions of a model, computed once.

    It is the distance itself, unless a subclass computes a basis.

    Attributes:
        compressed: False; True if splines of the distance follow.
    """

    compressed = False
    __constants__ = ["compressed"]  # noqa: RUF012  (TorchScript reads it)

    def forward(self, r: Tensor) -> Tensor:
        """[E] -> [E, ...]"""
        return r

    @torch.jit.unused
    def breaks(self) -> list[float]:
        """Return the distances at which derivatives jump (Å), in order; the cutoff is none."""
        return []

    def order(self, edge_index: Tensor, nodes: int) -> Tensor:
        """Return the order of the edges for `RadialFunction.convolve`, once for all layers."""
        if not torch.jit.is_scripting() and has_kernels(edge_index):  # type: ignore[attr-defined]
            order: Tensor = torch.ops.torchml.edge_order(edge_index, nodes)
            return order
        return edge_index


class RadialFunction(torch.nn.Module):
    """Functions of the distance alone; `torchml.export.compression` replaces them by splines.

    Subclasses implement `forward`. Their input is the `Expansion` of the model, or the distance if
    the model has none. The values should be zero at the cutoff.

    Attributes:
        compressed: False; True for a spline.
    """

    compressed = False
    __constants__ = ["compressed"]  # noqa: RUF012  (TorchScript reads it)

    def forward(self, expansion: Tensor) -> Tensor:
        """[E, ...] -> [E, K]"""
        raise NotImplementedError

    def filters(self, expansion: Tensor) -> Filters:
        """Return the functions in the form in which `torchml::messages` takes them fastest."""
        return Filters(self.forward(expansion))

    def _messages(
        self,
        expansion: Tensor,
        features: Tensor,
        factors: Tensor | None,
        edge_index: Tensor,
        order: Tensor,
        terms: list[int],
        nodes: int,
    ) -> Tensor:
        """What `convolve` does, by the operator."""
        filters = self.filters(expansion)
        if filters.envelope is not None:
            # Cheaper than a product with all filters: the operator differentiates by factors too.
            if factors is None:
                factors, terms = filters.envelope, [*terms]
                terms[3::4] = [0] * (len(terms) // 4)
            else:
                columns = factors.size(1)
                terms = [columns if k % 4 == 3 and v < 0 else v for k, v in enumerate(terms)]
                factors = torch.cat([factors * filters.envelope, filters.envelope], 1)
        sums: Tensor = torch.ops.torchml.messages(
            filters.values, filters.weight, features, factors, edge_index, order, terms, nodes
        )
        return sums

    def convolve(
        self,
        expansion: Tensor,
        features: Tensor,
        factors: Tensor | None,
        edge_index: Tensor,
        order: Tensor | None,
        terms: list[int],
        nodes: int,
    ) -> Tensor:
        """Sum messages, with these functions as filters, at their targets: [nodes, rows * F].

        The terms are (out, in, part, factor), four numbers each, and mean that over all edges e
        from s to t::

            result[t, out] += function[part](r_e) * factors[e, factor] * features[s, in]

        A factor of -1 means no factor. The K functions are `parts * F`, F functions for each part.
        A spline, and the operator where `has_kernels`, do this without an array [E, rows * F].

        Args:
            expansion: [E, ...], of the first E edges.
            features: [M, rows * F].
            factors: [E, factors], or None.
            edge_index: i64 [2, E].
            order: `Expansion.order` of all edges; may be None without splines.
        """
        if not torch.jit.is_scripting() and order is not None and has_kernels(features):  # type: ignore[attr-defined]
            return self._messages(expansion, features, factors, edge_index, order, terms, nodes)
        source, target = edge_index[0], edge_index[1]
        filters = self.forward(expansion)
        if terms == [0, 0, 0, -1]:
            messages = features.index_select(0, source) * filters
            return features.new_zeros([nodes, features.size(1)]).index_add(0, target, messages)
        out, rows, parts = 0, 0, 0
        for k in range(0, len(terms), 4):
            out, rows = max(out, terms[k] + 1), max(rows, terms[k + 1] + 1)
            parts = max(parts, terms[k + 2] + 1)
        width = filters.size(1) // parts
        w = filters.view(-1, parts, width)
        x = features.view(-1, rows, width).index_select(0, source)
        sums = [features.new_zeros([nodes, width]) for _ in range(out)]
        for k in range(0, len(terms), 4):
            message = x[:, terms[k + 1]] * w[:, terms[k + 2]]
            if terms[k + 3] >= 0:
                assert factors is not None
                message = message * factors[:, terms[k + 3]].unsqueeze(1)
            sums[terms[k]] = sums[terms[k]].index_add(0, target, message)
        return torch.cat(sums, 1)


class LinearFilter(RadialFunction, torch.nn.Linear):
    """A linear function of the expansion; with a bias, multiplied by the last column."""

    def forward(self, expansion: Tensor) -> Tensor:
        if self.bias is None:
            return linear(expansion, self.weight)
        return linear(expansion[:, :-1], self.weight, self.bias) * expansion[:, -1:]

    def filters(self, expansion: Tensor) -> Filters:
        if self.bias is None:
            return Filters(expansion, self.weight)
        functions, envelope = expansion.split([expansion.size(1) - 1, 1], 1)
        return with_bias(functions, self.weight, self.bias, envelope)


class Gaussians(torch.nn.Module):
    """exp(-(r - c_k)^2 / (2 d^2)) on an even grid 0 = c_0 .. c_{n-1} = cutoff with spacing d."""

    centers: Tensor

    def __init__(self, count: int, cutoff: float) -> None:
        super().__init__()
        centers = torch.linspace(0.0, cutoff, count, dtype=torch.float64)
        self.register_buffer("centers", centers)
        self.exponent = -0.5 * (max(count - 1, 1) / cutoff) ** 2

    def forward(self, r: Tensor) -> Tensor:
        """[E] -> [E, count]"""
        return torch.exp(self.exponent * (r.unsqueeze(1) - self.centers).square())


class EnvelopedGaussians(Expansion, Gaussians):
    """Gaussians, and the cosine envelope as the last column: [E] -> [E, count + 1]"""

    def __init__(self, count: int, cutoff: float) -> None:
        Gaussians.__init__(self, count, cutoff)
        self.cutoff = float(cutoff)

    def forward(self, r: Tensor) -> Tensor:
        r = r.to(self.centers.dtype)
        basis = torch.exp(self.exponent * (r.unsqueeze(1) - self.centers).square())
        return torch.cat([basis, cosine_envelope(r, self.cutoff).unsqueeze(1)], 1)


class Bessel(torch.nn.Module):
    """sqrt(2 / cutoff) sin(k pi r / cutoff) / r, k = 1 .. n: zero at the cutoff, with a slope.

    J. Gasteiger, J. Groß and S. Günnemann, ICLR 2020 (arXiv:2003.03123), eq. 7.
    """

    wavenumbers: Tensor

    def __init__(self, count: int, cutoff: float) -> None:
        super().__init__()
        orders = torch.arange(1, count + 1, dtype=torch.float64)
        self.register_buffer("wavenumbers", orders * (math.pi / cutoff))
        self.norm = math.sqrt(2.0 / cutoff)

    def forward(self, r: Tensor) -> Tensor:
        """[E] -> [E, count]"""
        distance = r.unsqueeze(1)
        return torch.sin(distance * self.wavenumbers) * (self.norm / distance)


class EnvelopedBessel(Expansion, Bessel):
    """Bessel functions, and the polynomial envelope as the last column: [E] -> [E, count + 1]

    Args:
        times_envelope: also multiply the Bessel functions by the envelope.
    """

    def __init__(self, count: int, cutoff: float, times_envelope: bool) -> None:
        Bessel.__init__(self, count, cutoff)
        self.cutoff = float(cutoff)
        self.times_envelope = times_envelope

    def forward(self, r: Tensor) -> Tensor:
        if not torch.jit.is_scripting() and has_kernels(r):  # type: ignore[attr-defined]
            return self.curves(r.to(self.wavenumbers.dtype))
        distance = r.to(self.wavenumbers.dtype).unsqueeze(1)
        envelope = polynomial_envelope(distance, self.cutoff)
        basis = torch.sin(distance * self.wavenumbers) * (self.norm / distance)
        if self.times_envelope:
            basis = basis * envelope
        return torch.cat([basis, envelope], 1)

    def curves(self, r: Tensor) -> Tensor:
        """Return the same with derivatives in closed form."""
        with torch.no_grad():
            distance = r.unsqueeze(1)
            inverse, phase = distance.reciprocal(), distance * self.wavenumbers
            basis = torch.sin(phase) * (self.norm / distance)
            slope = (self.norm * self.wavenumbers * torch.cos(phase) - basis) * inverse
            curvature = -self.wavenumbers.square() * basis - 2.0 * slope * inverse
            x = (distance / self.cutoff).clamp(max=1.0)
            envelope = polynomial_envelope(distance, self.cutoff)
            fall = x.pow(4) * (1.0 - x) * (-168.0 / self.cutoff)
            envelope_slope = fall * x * (1.0 - x)
            envelope_curvature = fall * (5.0 - 7.0 * x) / self.cutoff
            if self.times_envelope:
                curvature = (
                    curvature * envelope + 2.0 * slope * envelope_slope + basis * envelope_curvature
                )
                slope = slope * envelope + basis * envelope_slope
                basis = basis * envelope
            columns = (basis, envelope), (slope, envelope_slope), (curvature, envelope_curvature)
            values, slopes, curvatures = (torch.cat(pair, 1) for pair in columns)
        curves = Curves.apply(r, values, slopes, curvatures)  # type: ignore[no-untyped-call]
        assert isinstance(curves, Tensor)
        return curves
