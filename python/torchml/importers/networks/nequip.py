"""Networks of NequIP's type as an `EdgeModel`, arranged for evaluation on a CPU.

S. Batzner et al., Nat. Commun. 13, 2453 (2022). SevenNet is of this type.

Features are lists of blocks [M, 2l+1, U], as in `torchml.importers.networks.equivariant`.
`torchml.importers.reading.nequip_layer` writes the plan of a layer.
"""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from torchml.importers.networks import equivariant, messages, radial, repulsion
from torchml.importers.networks.equivariant import ElementLinear, Harmonics
from torchml.importers.networks.messages import Convolution, scripting, slots_of
from torchml.importers.networks.plan import built
from torchml.importers.networks.radial import Basis, activated
from torchml.importers.networks.repulsion import ScreenedRepulsion, stretched
from torchml.models.base import EdgeModel, per_node
from torchml.models.radial import lengths
from torchml.models.scaled import Scaled


def build(network: Mapping[str, Any]) -> Scaled:
    """The potential of a plan, in float64.

    Args:
        network: `network`, the part `NequIP` with all of its parts; `references`, energies (eV)
            by symbol.
    """
    parts = (sys.modules[__name__], equivariant, messages, radial, repulsion)
    potential = Scaled(built(network["network"], *parts))
    potential.set_normalization(network["references"], 1.0)
    return potential


class Gate(torch.nn.Module):
    """Activations of scalars, and products of other features with activations of scalars.

    Each list has an entry for each block of the result.

    Args:
        values: the block of which channels are taken.
        value_begins: the first of these channels.
        sizes: how many.
        gates: the block of scalars that multiply them; -1 where the values are scalars themselves.
        gate_begins: the first of its channels.
        activations: functions of the scalars, as in `activated`.
        factors: what these functions' values are multiplied by.
    """

    def __init__(
        self,
        values: list[int],
        value_begins: list[int],
        sizes: list[int],
        gates: list[int],
        gate_begins: list[int],
        activations: list[str],
        factors: list[float],
    ) -> None:
        super().__init__()
        self.values = values
        self.value_begins = value_begins
        self.sizes = sizes
        self.gates = gates
        self.gate_begins = gate_begins
        self.activations = activations
        self.factors = factors

    def forward(self, blocks: list[Tensor]) -> list[Tensor]:
        results: list[Tensor] = []
        for k, size in enumerate(self.sizes):
            x = blocks[self.values[k]].narrow(2, self.value_begins[k], size)
            if self.gates[k] < 0:
                x = activated(x, self.activations[k]) * self.factors[k]
            else:
                gate = blocks[self.gates[k]].narrow(2, self.gate_begins[k], size)
                x = x * (activated(gate, self.activations[k]) * self.factors[k])
            results.append(x)
        return results


class Layer(torch.nn.Module):
    """Linear map, convolution, linear map, what an atom keeps of its own features, and gate.

    Args:
        up: maps of the features before they are sent.
        sends: the block of the features that each of `up` takes.
        factors: of what is sent, by the element of the sender, [Z].
        convolution: sums of messages.
        down: maps of the sums.
        arrives: the block before the gate that each of `down` adds to.
        keep: maps of the own features.
        kept: the block of the features that each of `keep` takes.
        stays: the block before the gate that each of `keep` adds to.
        gate: makes the features of the blocks.
    """

    factors: Tensor

    __constants__ = ("has_factors",)

    def __init__(
        self,
        up: list[ElementLinear],
        sends: list[int],
        convolution: Convolution,
        down: list[ElementLinear],
        arrives: list[int],
        keep: list[ElementLinear],
        kept: list[int],
        stays: list[int],
        gate: Gate,
        factors: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.has_factors = factors is not None
        one = torch.ones(1, dtype=torch.float64)
        self.register_buffer("factors", one if factors is None else factors)
        self.up = torch.nn.ModuleList(up)
        self.sends = sends
        self.convolution = convolution
        self.down = torch.nn.ModuleList(down)
        self.arrives = arrives
        self.keep = torch.nn.ModuleList(keep)
        self.kept = kept
        self.stays = stays
        self.gate = gate
        self.blocks = 1 + max([*arrives, *stays])

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
    ) -> list[Tensor]:
        """Features of the first `n_out` nodes; the arguments are those of `Convolution`."""
        sent: list[Tensor] = []
        for k, linear in enumerate(self.up):
            one = linear(features[self.sends[k]], species)
            if self.has_factors:
                one = one * self.factors.index_select(0, species).view(-1, 1, 1)
            sent.append(one)
        sums = self.convolution(sent, harmonics, expansion, edge_index, order, slot, width, n_out)
        own = species[:n_out]
        parts: list[list[Tensor]] = []
        for _ in range(self.blocks):
            empty: list[Tensor] = []
            parts.append(empty)
        for k, linear in enumerate(self.down):
            parts[self.arrives[k]].append(linear(sums[k], own))
        for k, linear in enumerate(self.keep):
            parts[self.stays[k]].append(linear(features[self.kept[k]][:n_out], own))
        blocks: list[Tensor] = []
        for some in parts:
            blocks.append(some[0] if len(some) == 1 else some[0] + some[1])
        gated: list[Tensor] = self.gate(blocks)
        return gated


class Readout(torch.nn.Module):
    """Energies [n, 1] of invariant features [n, U].

    Args:
        weights: matrices, with the activation between them.
        activation: as in `activated`.
        bias: added to the result, [1].
    """

    bias: Tensor

    def __init__(self, weights: list[Tensor], activation: str, bias: Tensor | None = None) -> None:
        super().__init__()
        self.network = radial.Perceptron(weights, activation)
        zero = torch.zeros(1, dtype=torch.float64)
        self.register_buffer("bias", zero if bias is None else bias)

    def forward(self, x: Tensor) -> Tensor:
        energies: Tensor = self.network(x) + self.bias
        return energies


class NequIP(EdgeModel):
    """Energies of a network of NequIP's type without the shifts of the elements.

    Args:
        species: chemical symbols, in the order of the elements of the weights.
        cutoff: radius of one message (Å).
        blocks: the layers.
        embedding: features [Z, U] of the elements.
        basis: expands distances, for all layers.
        harmonics: of edge vectors.
        normalized: of unit vectors; without, Y_l grows with the l-th power of the distance.
        readout: energies of the last layer's scalars.
        scales: factors of the energies, by element (eV).
        stretches: cutoff over the cutoff of a pair, row of the target and column of the source,
            [Z, Z]; None where all pairs have one cutoff.
        repulsion: is added to the scaled energies.
    """

    embedding: Tensor
    scales: Tensor
    stretches: Tensor

    exact_distances = True
    __constants__ = ("has_repulsion",)

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        blocks: list[Layer],
        embedding: Tensor,
        basis: Basis,
        harmonics: Harmonics,
        normalized: bool,
        readout: Readout,
        scales: Tensor,
        stretches: Tensor | None = None,
        repulsion: ScreenedRepulsion | None = None,
    ) -> None:
        super().__init__(species, cutoff, len(blocks))
        self.blocks = torch.nn.ModuleList(blocks)
        self.basis = basis
        self.harmonics = harmonics
        self.normalized = normalized
        self.readout = readout
        self.register_buffer("embedding", embedding)
        self.register_buffer("scales", scales)
        none = torch.ones(0, 0, dtype=torch.float64)
        self.register_buffer("stretches", none if stretches is None else stretches)
        self.has_repulsion = repulsion is not None
        identity: torch.nn.Module = torch.nn.Identity()
        self.repulsion = repulsion or identity

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r = lengths(edge_vectors)
        vectors = edge_vectors / r.unsqueeze(1) if self.normalized else edge_vectors
        harmonics = self.harmonics(vectors.to(self.embedding.dtype))
        distances = stretched(r, self.stretches, species, edge_index)
        expansion = self.basis(distances)
        order = self.basis.order(edge_index, species.size(0))
        slot, width = edge_index[1], 0
        if not self.basis.compressed and (scripting() or self.training):
            slot, width = slots_of(slot, node_counts[self.layers - 1])

        own = species
        features = [self.embedding.index_select(0, species).unsqueeze(1)]
        shell = self.layers
        for block in self.blocks:
            shell -= 1
            n, n_out = edge_counts[shell], node_counts[shell]
            features = block(
                features,
                own,
                harmonics[:n],
                expansion[:n],
                edge_index[:, :n],
                order,
                slot[:n],
                width,
                n_out,
            )
            own = own[:n_out]
        energies = self.readout(features[0][:, 0]) * self.scales.index_select(0, own).unsqueeze(1)
        if self.has_repulsion:
            n, n_out, dtype = edge_counts[0], node_counts[0], energies.dtype
            near, far = r[:n].to(dtype), distances[:n].to(dtype)
            energies = energies + self.repulsion(near, far, species, edge_index[:, :n], n_out)
        return per_node(energies, species)
