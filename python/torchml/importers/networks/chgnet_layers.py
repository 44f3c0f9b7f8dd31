"""The parts of CHGNet: expansions, and convolutions of atoms, bonds and angles."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchml.importers.networks.gated import Gated, linear_of
from torchml.importers.networks.line_graph import LineGraph, updating
from torchml.importers.networks.radial import polynomial
from torchml.models.radial import Expansion, RadialFunction


class RadialBessel(torch.nn.Module):
    """sqrt(2 / cutoff) sin(f r / cutoff) / r times `polynomial`: [E] -> [E, R]

    Args:
        frequencies: f, [R].
        cutoff: Å.
        p: of the polynomial.
    """

    wavenumbers: Tensor

    def __init__(self, frequencies: Tensor, cutoff: float, p: int) -> None:
        super().__init__()
        self.register_buffer("wavenumbers", frequencies / cutoff)
        self.norm = math.sqrt(2.0 / cutoff)
        self.cutoff = cutoff
        self.p = p

    def forward(self, r: Tensor) -> Tensor:
        r = r.to(self.wavenumbers.dtype).unsqueeze(1)
        envelope = polynomial(r / self.cutoff, self.p) * (self.norm / r)
        return torch.sin(r * self.wavenumbers) * envelope


class BondExpansion(RadialBessel, Expansion):
    """The expansion of all distances, the input of all radial functions."""


class Fourier(torch.nn.Module):
    """Linear function of 1 / sqrt(2), sin(f a) and cos(f a) of the angle a between unit vectors."""

    frequencies: Tensor

    def __init__(self, frequencies: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("frequencies", frequencies)
        weights = weights / math.sqrt(math.pi)
        self.linear = linear_of(weights[:, 1:], weights[:, 0] / math.sqrt(2.0))

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Shapes: [T, 3] and [T, 3]; result [T, A]."""
        # CHGNet shrinks cosines, so that the derivative of the arc cosine stays finite.
        angle = torch.acos((one * other).sum(1) * (1.0 - 1e-6)).to(self.frequencies.dtype)
        phase = angle.unsqueeze(1) * self.frequencies
        features: Tensor = self.linear(torch.cat([torch.sin(phase), torch.cos(phase)], 1))
        return features


class NormedFilter(RadialFunction):
    """A linear function of the features of a bond that no angle has changed: [E, R] -> [E, H]

    Args:
        embedding: of the expansion.
        steps: what each convolution makes of the features, without angles.
        linear: of the result.
    """

    def __init__(self, embedding: Tensor, steps: Sequence[torch.nn.Module], linear: Tensor) -> None:
        super().__init__()
        self.steps = torch.nn.Sequential(linear_of(embedding), *steps, linear_of(linear))

    def forward(self, expansion: Tensor) -> Tensor:
        features: Tensor = self.steps(expansion)
        return features


class AtomConv(torch.nn.Module):
    """Messages along edges, of the features of both ends and of the bond.

    Args:
        target: first layer of the features of the target, with the biases.
        source: first layer of the features of the source.
        unchanged: first layer of the features that a bond has without angles.
        changed: first layer of what angles add to them.
        gated: the other layers.
        out: [n, F] -> [n, F]
        norm: of the new features.
    """

    def __init__(
        self,
        target: torch.nn.Module,
        source: torch.nn.Module,
        unchanged: RadialFunction,
        changed: torch.nn.Module,
        gated: Gated,
        out: torch.nn.Module,
        norm: torch.nn.Module,
    ) -> None:
        super().__init__()
        self.target = target
        self.source = source
        self.unchanged = unchanged
        self.changed = changed
        self.gated = gated
        self.out = out
        self.norm = norm

    def forward(
        self,
        x: Tensor,
        expansion: Tensor,
        weights: Tensor,
        edge_index: Tensor,
        place: Tensor,
        change: Tensor,
        n_out: int,
    ) -> Tensor:
        """Features of the first `n_out` nodes.

        Shapes: x [M, F], expansion [E, ...], weights [E, F], edge_index [2, E]; angles have changed
        the edges place [S] by change [S, B].
        """
        source, target = edge_index[0], edge_index[1]
        h = self.unchanged(expansion)
        if place.size(0) > 0:
            h.index_add_(0, place, self.changed(change))
        h += self.source(x).index_select(0, source)
        x = x[:n_out]
        h += self.target(x).index_select(0, target)
        messages = self.gated(h) * weights
        sums = torch.zeros_like(x).index_add(0, target, messages)
        features: Tensor = self.norm(x + self.out(sums))
        return features


class AngleTerms(torch.nn.Module):
    """First layer of what belongs to an angle: both bonds, the angle, and the atom.

    Args:
        first: of the bond that is updated, or written first.
        second: of the other bond.
        angle: of the angle.
        atom: of the atom, with the biases.
    """

    def __init__(
        self,
        first: torch.nn.Module,
        second: torch.nn.Module,
        angle: torch.nn.Module,
        atom: torch.nn.Module,
    ) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.angle = angle
        self.atom = atom

    def forward(self, x: Tensor, bonds: Tensor, angles: Tensor, lines: LineGraph) -> Tensor:
        """Sums [T, H] of all terms.

        Shapes: x [M, F], bonds [S, B], angles [T, A].
        """
        one = self.first(bonds[: lines.node.size(0)])
        one = one + self.atom(x).index_select(0, lines.node)
        sums: Tensor = self.angle(angles)
        sums += one.index_select(0, lines.first)
        sums += self.second(bonds).index_select(0, lines.second)
        return sums


class BondConv(torch.nn.Module):
    """Angles at both ends of a bond change its features.

    Args:
        terms: first layer.
        gated: the other layers.
        out: [n, B] -> [n, B], without bias.
        step: what happens to the features of every bond: a bias, a norm.
    """

    __constants__ = ("normed",)

    def __init__(
        self,
        terms: AngleTerms,
        gated: Gated,
        out: torch.nn.Module,
        step: torch.nn.Module,
        normed: bool,
    ) -> None:
        super().__init__()
        self.terms = terms
        self.gated = gated
        self.out = out
        self.step = step
        self.normed = normed

    def forward(
        self,
        x: Tensor,
        unchanged: Tensor,
        change: Tensor,
        weights: Tensor,
        angles: Tensor,
        lines: LineGraph,
    ) -> tuple[Tensor, Tensor]:
        """Features of updated edges without angles, and what angles change: [n, B] each.

        Shapes: x [M, F], unchanged, change and weights [S, B], angles [T, A].
        """
        n = lines.node.size(0)
        h = self.terms(x, unchanged + change, angles, lines)
        update = self.gated(h) * weights.index_select(0, lines.second)
        sums = torch.zeros_like(change[:n]).index_add(0, lines.first, update) * weights[:n]
        both = sums.index_add(0, lines.edge, sums.index_select(0, lines.reverse))
        change = change[:n] + self.out(both)
        if self.normed:
            before = unchanged[:n]
            unchanged = self.step(before)
            return unchanged, self.step(before + change) - unchanged
        return self.step(unchanged[:n]), change


class AngleUpdate(torch.nn.Module):
    """New features of angles, of their bonds and the atom: [T, A] -> [T, A]"""

    def __init__(self, terms: AngleTerms, gated: Gated, norm: torch.nn.Module) -> None:
        super().__init__()
        self.terms = terms
        self.gated = gated
        self.norm = norm

    def forward(self, x: Tensor, bonds: Tensor, angles: Tensor, lines: LineGraph) -> Tensor:
        """Shapes: x [M, F], bonds [S, B], angles [T, A]."""
        features: Tensor = self.norm(angles + self.gated(self.terms(x, bonds, angles, lines)))
        return features


class Layer(torch.nn.Module):
    """A convolution of atoms, then one of bonds and an update of angles where there are.

    Args:
        atoms: of atoms.
        bonds: of bonds, which follows.
        angles: of angles, which follows.
        changed: angles have changed the features of bonds before.
    """

    __constants__ = ("changed", "has_angles", "has_bonds")

    def __init__(
        self,
        atoms: AtomConv,
        bonds: BondConv | None,
        angles: AngleUpdate | None,
        changed: bool,
    ) -> None:
        super().__init__()
        none: torch.nn.Module = torch.nn.Identity()
        self.has_bonds = bonds is not None
        self.has_angles = angles is not None
        self.changed = changed
        self.atoms = atoms
        self.bonds = bonds or none
        self.angles = angles or none

    def forward(
        self,
        x: Tensor,
        bonds: Tensor,
        change: Tensor,
        angles: Tensor,
        expansion: Tensor,
        weights: Tensor,
        edge_index: Tensor,
        bond_weights: Tensor,
        lines: LineGraph,
        inner: list[int],
        n_out: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """New features of nodes, of bonds without angles, what angles change, and of angles.

        Shapes: x [M, F], bonds and change [S, B], angles [T, A], expansion [E, ...], weights
        [E, F], edge_index [2, E], bond_weights [S', B]. Features of `n_out` nodes, of `inner[-1]`
        bonds and of the angles of `inner[-2]` bonds are returned.
        """
        row = torch.zeros([0], dtype=torch.int64, device=x.device)
        if self.changed:
            row = torch.nonzero(lines.place[: change.size(0)] < edge_index.size(1)).squeeze(1)
        place, changed = lines.place.index_select(0, row), change.index_select(0, row)
        x = self.atoms(x, expansion, weights, edge_index, place, changed, n_out)
        if self.has_bonds:
            lines = updating(lines, inner[-1])
            bond_weights = bond_weights[: bonds.size(0)]
            angles = angles[: lines.first.size(0)]
            bonds, change = self.bonds(x, bonds, change, bond_weights, angles, lines)
        if self.has_angles:
            lines = updating(lines, inner[-2])
            angles = angles[: lines.first.size(0)]
            angles = self.angles(x, bonds + change, angles, lines)
        return x, bonds, change, angles
