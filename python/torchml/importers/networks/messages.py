"""Messages between atoms: features of the source, times harmonics, times radial weights.

Features are the blocks of `torchml.importers.networks.equivariant`.
"""

import math

import torch
from torch import Tensor

from torchml.importers.networks.equivariant import ElementLinear
from torchml.importers.networks.radial import RadialWeights
from torchml.models.radial import has_kernels


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


class Convolution(torch.nn.Module):
    """Sums of messages at their targets, by block of the result: its paths side by side.

    Args:
        radial: weights of all paths, in their order.
        paths: in any order; blocks of sources and of results are numbered from 0.
    """

    couplings: Tensor

    def __init__(self, radial: RadialWeights, paths: list[MessagePath]) -> None:
        super().__init__()
        self.radial = radial
        self.paths = torch.nn.ModuleList(paths)
        self.sources = [path.source for path in paths]
        self.results = [path.result for path in paths]
        self.columns = [path.channels for path in paths]
        self.sizes = [0] * (1 + max(self.results))
        self.widths = [0] * len(self.sizes)
        for path in paths:
            self.sizes[path.result] = path.outputs
            self.widths[path.result] += path.channels
        self.columns_of_results = [d * w for d, w in zip(self.sizes, self.widths, strict=True)]
        self.terms, couplings = terms_of(paths)
        self.register_buffer("couplings", couplings)

    def forward(
        self,
        sent: list[Tensor],
        harmonics: Tensor,
        expansion: Tensor,
        edge_index: Tensor,
        order: Tensor,
        slot: Tensor,
        width: int,
        n_out: int,
    ) -> list[Tensor]:
        """Sums at the first `n_out` nodes, by block and its paths: [n_out, d, sum of U].

        Shapes: sent [M, d, U], harmonics [E, B], expansion [E, ...], edge_index [2, E]; `order` is
        that of the expansion, `slot` [E] and `width` are those of `slots_of`.
        """
        if self.radial.compressed:
            return self.convolved(sent, harmonics, expansion, edge_index, order, n_out)
        if not torch.jit.is_scripting() and has_kernels(harmonics):  # type: ignore[attr-defined]
            return self.convolved(sent, harmonics, expansion, edge_index, order, n_out)
        return self.summed(sent, harmonics, expansion, edge_index, slot, width, n_out)

    def summed(
        self,
        sent: list[Tensor],
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
        gathered: list[Tensor] = []
        for one in sent:
            # Rows of a matrix: the derivative of index_select is much faster there.
            rows_of = one.flatten(1).index_select(0, source)
            gathered.append(rows_of.unflatten(1, [one.size(1), one.size(2)]))
        parts: list[list[Tensor]] = []
        for _ in self.sizes:
            empty: list[Tensor] = []
            parts.append(empty)
        columns = weights.split(self.columns, 1)
        for k, path in enumerate(self.paths):
            angular, radial = path(gathered[self.sources[k]], harmonics, columns[k])
            if width > 0:
                part = grouped(angular, n_out, width) @ radial.reshape(n_out, -1, radial.size(2))
            else:
                part = scattered(angular, radial, target, n_out)
            parts[self.results[k]].append(part)
        return [torch.cat(one, dim=2) for one in parts]

    def convolved(
        self,
        sent: list[Tensor],
        harmonics: Tensor,
        expansion: Tensor,
        edge_index: Tensor,
        order: Tensor,
        n_out: int,
    ) -> list[Tensor]:
        """The same by the operator of splines."""
        sums = self.radial.convolve(
            expansion,
            torch.cat([one.flatten(1) for one in sent], 1),
            harmonics @ self.couplings,
            edge_index,
            order,
            self.terms,
            n_out,
        )
        blocks: list[Tensor] = []
        # One split: the derivative of each slice would be a tensor of zeros as large as the sums.
        for k, block in enumerate(sums.split(self.columns_of_results, 1)):
            blocks.append(block.reshape(n_out, self.sizes[k], self.widths[k]))
        return blocks


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

    def __init__(
        self,
        radial: RadialWeights,
        density: RadialWeights | None,
        up: list[ElementLinear],
        sends: list[int],
        paths: list[MessagePath],
        down: list[ElementLinear],
        keep: list[ElementLinear],
        kept: list[int],
    ) -> None:
        super().__init__()
        self.has_density = density is not None
        share: torch.nn.Module = density or torch.nn.Identity()
        self.density = share
        self.up = torch.nn.ModuleList(up)
        self.sends = sends
        self.convolution = Convolution(radial, paths)
        self.down = torch.nn.ModuleList(down)
        self.keep = torch.nn.ModuleList(keep)
        self.kept = kept

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
        sums = self.convolution(up, harmonics, expansion, edge_index, order, slot, width, n_out)
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


def terms_of(paths: list[MessagePath]) -> tuple[list[int], Tensor]:
    """The sums over a, b and paths as terms of `RadialFunction.convolve`, and their factors [B, F].

    Channels are counted in rows of as many as divide the numbers of all paths. A factor is a sum of
    harmonics; those that many terms share are made once.
    """
    row = math.gcd(*[path.channels for path in paths])
    rows_in: dict[int, int] = {}
    for path in paths:
        rows_in[path.source] = path.inputs * path.channels // row
    terms: list[int] = []
    factors: list[Tensor] = []
    first = 0
    for result in sorted({path.result for path in paths}):
        own = [(k, path) for k, path in enumerate(paths) if path.result == result]
        width = sum(path.channels for _, path in own) // row
        for c in range(own[0][1].outputs):
            column = first + c * width
            for k, path in own:
                count = path.channels // row
                source = sum(rows_in[block] for block in range(path.source))
                part = sum(one.channels for one in paths[:k]) // row
                for a in range(path.inputs):
                    factor = path.coupling[:, c * path.inputs + a]
                    if not bool(factor.abs().max() > 1e-14):
                        continue
                    same = [f for f, one in enumerate(factors) if bool(torch.equal(one, factor))]
                    if not same:
                        factors.append(factor)
                    number = same[0] if same else len(factors) - 1
                    for j in range(count):
                        terms += [column + j, source + a * count + j, part + j, number]
                column += count
        first += own[0][1].outputs * width
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
