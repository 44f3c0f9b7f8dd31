"""ANI as an `EdgeModel`: atomic environment vectors, and an ensemble of networks by element.

J. S. Smith, O. Isayev and A. E. Roitberg, Chem. Sci. 8, 3192 (2017). The constants 1/4 and 0.95 are
those of NeuroChem and torchani.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from torchml.errors import ModelError
from torchml.models.base import EdgeModel, per_node
from torchml.models.radial import RadialFunction, cosine_envelope, lengths
from torchml.models.scaled import Scaled

_BOHR = 1.0 / 1.8897261258369282  # Å, CODATA 2014, as in torchani


class CosineCutoff(torch.nn.Module):
    """(1 + cos(pi r / cutoff)) / 2, and 0 beyond."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = float(cutoff)

    def forward(self, r: Tensor) -> Tensor:
        return cosine_envelope(r, self.cutoff)


class SmoothCutoff(torch.nn.Module):
    """exp(1 - 1 / (1 - (r / cutoff)^n)), and 0 beyond: all derivatives vanish at the cutoff."""

    def __init__(self, cutoff: float, order: int, epsilon: float) -> None:
        super().__init__()
        self.cutoff = float(cutoff)
        self.order = int(order)
        self.epsilon = float(epsilon)

    def forward(self, r: Tensor) -> Tensor:
        inner = 1.0 - (r / self.cutoff).pow(self.order)
        return torch.exp(1.0 - inner.clamp(min=self.epsilon).reciprocal())


class RadialTerms(RadialFunction):
    """exp(-eta (r - shift)^2) / 4 times the cutoff function: [E] -> [E, R] (eq. 3)."""

    def __init__(self, eta: float, shifts: Tensor, cutoff: torch.nn.Module) -> None:
        super().__init__()
        self.eta = float(eta)
        self.shifts = _constant(shifts)
        self.cutoff = cutoff

    def forward(self, expansion: Tensor) -> Tensor:
        r = expansion.to(self.shifts.dtype).unsqueeze(1)
        envelope: Tensor = 0.25 * self.cutoff(r)
        return gaussians(r, self.shifts, self.eta) * envelope


def gaussians(r: Tensor, shifts: Tensor, eta: float) -> Tensor:
    """exp(-eta (r - shift)^2) of arrays that broadcast."""
    return (r - shifts).square().mul_(-eta).exp_()


class AngularTerms(torch.nn.Module):
    """Angular functions of pairs of neighbours (eq. 4), summed over blocks of pairs.

    With the angle a = acos(0.95 cos(theta)) and the cutoff function f::

        2 ((1 + cos(a - section)) / 2)^zeta exp(-eta ((r + r') / 2 - shift)^2) f(r) f(r')

    Args:
        eta, zeta: of all functions (1/Å², 1).
        shifts: distances (Å).
        sections: angles (rad).
        cutoff: the function f.
    """

    shifts: Tensor
    directions: Tensor
    middle: Tensor

    def __init__(
        self, eta: float, zeta: float, shifts: Tensor, sections: Tensor, cutoff: torch.nn.Module
    ) -> None:
        super().__init__()
        self.eta = float(eta)
        self.zeta = float(zeta)
        self.cutoff = cutoff
        self.count = shifts.size(0) * sections.size(0)
        self.register_buffer("shifts", shifts.double().unsqueeze(1))
        sections = sections.double()
        # (1 + cos(a - section)) / 2 is linear in cos(a) and sin(a).
        self.register_buffer("directions", 0.5 * torch.stack([sections.cos(), sections.sin()], 1))
        self.register_buffer("middle", torch.full_like(self.directions[:, :1], 0.5))

    def forward(self, units: Tensor, r: Tensor, one: Tensor, other: Tensor, used: Tensor) -> Tensor:
        """Sums over the second axis of pairs of edges: [B, shifts * sections].

        Args:
            units: directions of the edges, [3, E].
            r: their lengths, [E].
            one, other: edges of the pairs, i64[B, W].
            used: 1, or 0 for pairs that do not count, [B, W].
        """
        blocks, width = one.size(0), one.size(1)
        one, other = one.flatten(), other.flatten()
        x, y, z = units[0], units[1], units[2]
        cosine = x.gather(0, one) * x.gather(0, other)
        cosine = cosine + y.gather(0, one) * y.gather(0, other)
        cosine = 0.95 * (cosine + z.gather(0, one) * z.gather(0, other))
        sine = (1.0 - cosine.square()).sqrt()
        # Rows of a function each, [K, B * W]: their operations run along the pairs.
        angular = torch.addmm(self.middle, self.directions, torch.stack([cosine, sine]))
        angular = torch.log(angular).mul_(self.zeta).exp_()

        half, envelope = 0.5 * r, self.cutoff(r)
        mean = half.gather(0, one) + half.gather(0, other)
        weight = envelope.gather(0, one) * envelope.gather(0, other) * (2.0 * used.flatten())
        radial = gaussians(mean, self.shifts, self.eta) * weight

        radial = radial.unflatten(1, [blocks, width]).transpose(0, 1)
        angular = angular.unflatten(1, [blocks, width]).permute(1, 2, 0)
        return torch.bmm(radial, angular).flatten(1)


class Pairs(torch.nn.Module):
    """Pairs of edges with the same target, sorted by target and pair of elements, in blocks.

    Args:
        elements: number of elements S; pairs of elements are 00, 01, .., 11, ..
        block: pairs in a block, of one target and one pair of elements; some may be unused.
    """

    low: Tensor
    high: Tensor

    def __init__(self, elements: int, block: int = 16) -> None:
        super().__init__()
        self.block = block
        low, high = torch.triu_indices(elements, elements)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)
        self.count = low.size(0)

    def forward(self, counts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Edges of the pairs [B, W] twice, whether they count [B, W], and of which sum [B].

        Args:
            counts: edges of each target from each element, i64[n, S]; edges are sorted by target
                and element.

        A sum is that of a target and a pair of elements: `target * pairs + pair`.
        """
        ends = counts.flatten().cumsum(0).view_as(counts)
        begins = ends - counts
        same = self.low == self.high
        n_low, n_high = counts[:, self.low], counts[:, self.high]
        size = torch.where(same, n_low * (n_low - 1) // 2, n_low * n_high).flatten()
        blocks = (size + (self.block - 1)) // self.block
        owner = torch.repeat_interleave(blocks)
        rank = torch.arange(owner.size(0), device=counts.device)
        rank = rank - (blocks.cumsum(0) - blocks).index_select(0, owner)
        places = torch.arange(self.block, device=counts.device)
        place = (rank * self.block).unsqueeze(1) + places
        used = place < size.index_select(0, owner).unsqueeze(1)
        place = place * used

        # Two elements: rows of a table. One element: the triangle below the diagonal.
        columns = n_high.flatten().index_select(0, owner).unsqueeze(1)
        real = place.to(torch.float64)
        row = torch.floor((real + 0.5) / columns).to(torch.int64)
        step = torch.floor(0.5 + (2.0 * real + 0.25).sqrt()).to(torch.int64)
        same = same.expand_as(n_low).flatten().index_select(0, owner).unsqueeze(1)
        one = torch.where(same, step, row)
        other = place - torch.where(same, step * (step - 1) // 2, row * columns)
        one = one + begins[:, self.low].flatten().index_select(0, owner).unsqueeze(1)
        other = other + begins[:, self.high].flatten().index_select(0, owner).unsqueeze(1)
        return one, other, used, owner


class Environment(torch.nn.Module):
    """Atomic environment vectors: radial terms by element, angular terms by pair of elements."""

    def __init__(
        self, elements: int, radial: RadialTerms, angular: AngularTerms, cutoff: float
    ) -> None:
        super().__init__()
        self.elements = elements
        self.radial = radial
        self.angular = angular
        self.cutoff = float(cutoff)
        self.pairs = Pairs(elements)

    def forward(self, edge_vectors: Tensor, r: Tensor, place: Tensor, nodes: int) -> Tensor:
        """The vectors [nodes, elements * radial + pairs * angular].

        Args:
            edge_vectors: [E, 3] (Å).
            r: their lengths (Å).
            place: row * elements + element of the source, i64[E].
            nodes: number of rows.
        """
        functions = self.radial(r)
        slots = functions.new_zeros([nodes * self.elements, functions.size(1)])
        radial = slots.index_add(0, place, functions)

        near = torch.nonzero(r < self.cutoff).squeeze(1)
        place, order = torch.sort(place.index_select(0, near), stable=True)
        near = near.index_select(0, order)
        counts = torch.bincount(place, minlength=nodes * self.elements)
        one, other, used, owner = self.pairs(counts.view(nodes, self.elements))
        r = r.index_select(0, near)
        units = edge_vectors.index_select(0, near).t() / r
        dtype = functions.dtype
        sums = self.angular(units.to(dtype), r.to(dtype), one, other, used.to(dtype))
        slots = sums.new_zeros([nodes * self.pairs.count, self.angular.count])
        angular = slots.index_add(0, owner, sums)
        radial = radial.view(nodes, self.elements * radial.size(1))
        angular = angular.view(nodes, self.pairs.count * angular.size(1))
        return torch.cat([radial, angular], 1)


class Activation(torch.nn.Module):
    """CELU with its parameter alpha, GELU, or the Gaussian exp(-x^2), as f in `scale f(x / scale)`.

    CELU is an ELU with the scale alpha, whose derivative torch computes in the type of x: that of
    torch.celu has 1 / alpha in float32 only. The scales are part of the weights.
    """

    def __init__(self, kind: str, alpha: float = 1.0) -> None:
        super().__init__()
        if kind not in ("celu", "gelu", "gaussian"):
            raise ModelError(f"ANI: activation is '{kind}', expected celu | gelu | gaussian")
        self.kind = kind
        self.scale = float(alpha)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "celu":
            # In place: then its derivative follows from the result, without another exponential.
            return torch.nn.functional.elu(x, 1.0, True)
        if self.kind == "gelu":
            return torch.nn.functional.gelu(x)
        return torch.exp(-x.square())


class Linear(torch.nn.Module):
    """One linear layer of each member: [k, n, F] -> [k, n, F']."""

    def __init__(self, weights: Tensor, biases: Tensor) -> None:
        super().__init__()
        self.weights = _constant(weights)
        self.biases = _constant(biases.unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.biases, x, self.weights)


class Members(torch.nn.Module):
    """The networks of one element, of all members of an ensemble: [n, F] -> [k, n].

    Args:
        weights: by layer, [k, inputs, outputs]; at least two layers.
        biases: by layer, [k, outputs].
        activation: between the layers.
    """

    def __init__(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor], activation: Activation
    ) -> None:
        super().__init__()
        self.count = weights[0].size(0)
        self.activation = activation
        weights, biases = ([one.double() for one in parts] for parts in (weights, biases))
        scale = activation.scale
        # All members have the same input: their first layers are one matrix.
        self.weights = _constant(weights[0].transpose(0, 1).flatten(1) / scale)
        self.biases = _constant(biases[0].flatten() / scale)
        self.hidden = torch.nn.ModuleList(
            Linear(weight, bias / scale)
            for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True)
        )
        self.last = Linear(weights[-1] * scale, biases[-1])

    def forward(self, x: Tensor) -> Tensor:
        nodes = x.size(0)
        x = self.activation(torch.addmm(self.biases, x, self.weights))
        x = x.view(nodes, self.count, -1).transpose(0, 1)
        for layer in self.hidden:
            x = self.activation(layer(x))
        energies: Tensor = self.last(x)
        return energies.squeeze(2)


class Repulsion(torch.nn.Module):
    """Repulsion of GFN2-xTB for each edge, one half at its target (Hartree).

    C. Bannwarth, S. Ehlert and S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019), eq. 9.

    Args:
        charges: products of the effective charges, [S, S].
        alpha: roots of the products of the exponents, [S, S].
        powers: of the distance in the exponential, [S, S].
        cutoff: function that ends it.
    """

    charges: Tensor
    alpha: Tensor
    powers: Tensor

    def __init__(
        self, charges: Tensor, alpha: Tensor, powers: Tensor, cutoff: torch.nn.Module
    ) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.bohr = _BOHR
        self.register_buffer("charges", charges.double().flatten())
        self.register_buffer("alpha", alpha.double().flatten())
        self.register_buffer("powers", powers.double().flatten())

    def forward(self, r: Tensor, pair: Tensor) -> Tensor:
        """Energies [E] of distances [E] (Å) and pairs of elements `one * S + other`, i64[E]."""
        distance = r / self.bohr
        exponent = self.alpha.index_select(0, pair) * distance.pow(
            self.powers.index_select(0, pair)
        )
        energy = self.charges.index_select(0, pair) / distance * torch.exp(-exponent)
        envelope: Tensor = 0.5 * self.cutoff(r)
        return energy * envelope


class ANI(EdgeModel):
    """Energies of an ensemble of ANI networks without those of the isolated atoms (Hartree).

    `build` makes it.

    Args:
        species: chemical symbols, in the order of the elements of the weights.
        cutoff: the largest of all terms (Å).
        environment: of the atoms.
        networks: by element.
        repulsion: of pairs, if the model has one.
    """

    exact_distances = True
    varying = "angles"
    __constants__ = ("has_repulsion",)

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        environment: Environment,
        networks: list[Members],
        repulsion: Repulsion | None = None,
    ) -> None:
        super().__init__(species, cutoff, 1)
        self.environment = environment
        self.networks = torch.nn.ModuleList(networks)
        self.members = networks[0].count
        self.elements = len(species)
        self.has_repulsion = repulsion is not None
        none: torch.nn.Module = torch.nn.Identity()
        self.repulsion = repulsion if repulsion is not None else none

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        members: Tensor = self.member_energies(
            species, edge_vectors, edge_index, node_counts, edge_counts
        )
        return per_node(members.mean(0).unsqueeze(1), species)

    @torch.jit.export
    def member_energies(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        """Return the energies of the members of the ensemble: [k, n] of the first n nodes."""
        nodes, n = node_counts[0], edge_counts[0]
        edge_index, edge_vectors = edge_index[:, :n], edge_vectors[:n]
        own = species[:nodes]
        # Rows are sorted by element, so that each network takes a part of the table.
        order = torch.argsort(own, stable=True)
        row = torch.empty_like(order).index_copy(0, order, torch.arange(nodes, device=order.device))
        counts: list[int] = torch.bincount(own, minlength=self.elements).tolist()
        source = species.index_select(0, edge_index[0])
        place = row.index_select(0, edge_index[1]) * self.elements + source
        r = lengths(edge_vectors)
        rows = self.environment(edge_vectors, r, place, nodes)
        parts: list[Tensor] = []
        begin = 0
        for k, network in enumerate(self.networks):
            if counts[k] > 0:
                parts.append(network(rows[begin : begin + counts[k]]))
            begin += counts[k]
        energies: Tensor = rows.new_zeros([self.members, 0])
        if len(parts) > 0:
            energies = torch.cat(parts, 1).index_select(1, row)
        if self.has_repulsion:
            pair = own.index_select(0, edge_index[1]) * self.elements + source
            pairs: Tensor = self.repulsion(r.to(rows.dtype), pair)
            energies = energies + pairs.new_zeros([nodes]).index_add(0, edge_index[1], pairs)
        return energies


def build(network: Mapping[str, Any]) -> Scaled:
    """The potential of plain values, in float64.

    Args:
        network: `species`; `cutoff`, the largest; `radial` (cutoff, eta, shifts); `angular`
            (cutoff, eta, zeta, shifts, sections); `cutoff_function` (kind, order, epsilon);
            `activation` (kind, alpha); `networks`, by element the `weights` [k, inputs, outputs]
            and `biases` [k, outputs] of the layers; `repulsion` (cutoff, cutoff_function, charges,
            alpha, powers) or None; `references` (eV) by symbol; `scale` (eV per Hartree).
    """
    species = list(network["species"])
    function, radial, angular = (network[key] for key in ("cutoff_function", "radial", "angular"))
    environment = Environment(
        len(species),
        RadialTerms(radial["eta"], radial["shifts"], _cutoff(function, radial["cutoff"])),
        AngularTerms(
            angular["eta"],
            angular["zeta"],
            angular["shifts"],
            angular["sections"],
            _cutoff(function, angular["cutoff"]),
        ),
        angular["cutoff"],
    )
    networks = [
        Members(one["weights"], one["biases"], Activation(**network["activation"]))
        for one in network["networks"]
    ]
    repulsion = None
    if (pairs := network["repulsion"]) is not None:
        end = _cutoff(pairs["cutoff_function"], pairs["cutoff"])
        repulsion = Repulsion(pairs["charges"], pairs["alpha"], pairs["powers"], end)
    potential = Scaled(ANI(species, network["cutoff"], environment, networks, repulsion))
    potential.set_normalization(network["references"], network["scale"])
    return potential


def _cutoff(function: Mapping[str, Any], cutoff: float) -> torch.nn.Module:
    if function["kind"] == "cosine":
        return CosineCutoff(cutoff)
    if function["kind"] == "smooth":
        return SmoothCutoff(cutoff, function["order"], function["epsilon"])
    raise ModelError(f"ANI: cutoff function is '{function['kind']}', expected cosine | smooth")


def _constant(values: Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(values.double().contiguous(), requires_grad=False)
