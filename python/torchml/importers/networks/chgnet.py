"""CHGNet as an `EdgeModel`: atoms, bonds and angles, all made of edge vectors.

B. Deng, P. Zhong, K. Jun, J. Riebesell, K. Han, C. J. Bartel and G. Ceder, Nature Machine
Intelligence 5, 1031 (2023). What is computed follows the package chgnet 0.4.2.

A bond is an edge without direction. CHGNet updates the features of the bonds within `bond_cutoff`,
the short ones; those of a longer bond stay a function of its distance. Here the two edges of a
short bond have a row each, with equal features: each receives what the angles at both ends add, so
an edge must find its reverse. The reverse is the edge into the source whose vector is opposite:
it is unique because no two atoms are at one place, whatever images a pair of atoms has.

Shells: the convolution of atoms number k of L (from 0) makes features of the nodes in the shells
0 to L - 1 - k of the edges into them. The convolution of bonds after it makes features of the short
edges with at least one end in the shells 0 to L - 2 - k: of the angles at both ends, which lie in
the shells 0 to L - 1 - k. So L layers of atoms are L shells, and the angles cost none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from torchml.importers.networks.chgnet_layers import (
    AngleTerms,
    AngleUpdate,
    AtomConv,
    BondConv,
    BondExpansion,
    Fourier,
    Layer,
    NormedFilter,
    RadialBessel,
)
from torchml.importers.networks.gated import (
    Affine,
    first_layer,
    gated,
    hidden,
    linear_of,
    norm_of,
)
from torchml.importers.networks.line_graph import line_graph, short_edges
from torchml.models.base import EdgeModel, per_node
from torchml.models.radial import LinearFilter, RadialFunction, lengths
from torchml.models.scaled import Scaled


class CHGNet(EdgeModel):
    """Energies of a CHGNet without the energies of its composition model.

    Args:
        species: chemical symbols, in the order of the embedding.
        cutoff: radius of the convolutions of atoms (Å).
        bond_cutoff: radius of bonds that form angles (Å).
        embedding: features [Z, F] of the elements.
        expansion: of all distances.
        weights: of the messages between atoms, which vanish at the cutoff.
        bond: features of a bond.
        bond_expansion: of the distances of short bonds.
        bond_weights: of the messages between bonds, which vanish at `bond_cutoff`.
        fourier: features of an angle.
        blocks: the layers. The last has no bonds, the last two have no angles.
        readout: [n, F] -> [n, 1]
    """

    embedding: Tensor

    exact_distances = True
    varying = "angles"

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        bond_cutoff: float,
        embedding: Tensor,
        expansion: BondExpansion,
        weights: LinearFilter,
        bond: LinearFilter,
        bond_expansion: RadialBessel,
        bond_weights: torch.nn.Module,
        fourier: Fourier,
        blocks: Sequence[Layer],
        readout: torch.nn.Module,
    ) -> None:
        super().__init__(species, cutoff, len(blocks))
        self.bond_cutoff = float(bond_cutoff)
        self.register_buffer("embedding", embedding)
        self.expansion = expansion
        self.weights = weights
        self.bond = bond
        self.bond_expansion = bond_expansion
        self.bond_weights = bond_weights
        self.fourier = fourier
        self.blocks = torch.nn.ModuleList(blocks)
        self.has_angles = blocks[0].has_bonds
        self.readout = readout

    def forward(
        self,
        species: Tensor,
        edge_vectors: Tensor,
        edge_index: Tensor,
        node_counts: list[int],
        edge_counts: list[int],
    ) -> Tensor:
        r = lengths(edge_vectors)
        expansion = self.expansion(r)
        weights = self.weights(expansion)

        place, inner = short_edges(r, edge_index, node_counts, self.bond_cutoff)
        count = inner[self.layers - 2] if self.has_angles else 0
        vectors = edge_vectors.index_select(0, place)
        lines = line_graph(place, vectors, edge_index, species.size(0), count)
        distance = r.index_select(0, place)
        unit = vectors / distance.unsqueeze(1)
        angles = self.fourier(unit.index_select(0, lines.first), unit.index_select(0, lines.second))
        bond_weights = self.bond_weights(self.bond_expansion(distance))
        bonds = self.bond(expansion.index_select(0, place))
        change = torch.zeros_like(bonds)

        x = self.embedding.index_select(0, species)
        shell = self.layers
        for block in self.blocks:
            shell -= 1
            n, n_out = edge_counts[shell], node_counts[shell]
            x, bonds, change, angles = block(
                x,
                bonds,
                change,
                angles,
                expansion[:n],
                weights[:n],
                edge_index[:, :n],
                bond_weights,
                lines,
                inner[:shell],
                n_out,
            )
        return per_node(self.readout(x), species)


def build(network: Mapping[str, Any]) -> Scaled:
    """The potential of a CHGNet, in float64.

    Args:
        network: what `torchml.importers.reading.chgnet` makes of a model.

    Raises:
        ModelError: the activation or a norm is unknown.
    """
    plan = _double(network)
    cutoff, bond_cutoff, p = plan["cutoff"], plan["bond_cutoff"], plan["exponent"]
    potential = Scaled(
        CHGNet(
            plan["species"],
            cutoff,
            bond_cutoff,
            plan["atoms"],
            BondExpansion(plan["frequencies"], cutoff, p),
            _filter(plan["weights"]),
            _filter(plan["bonds"]),
            RadialBessel(plan["bond_frequencies"], bond_cutoff, p),
            linear_of(plan["bond_weights"]),
            Fourier(plan["angle_frequencies"], plan["angles"]),
            _layers(plan),
            _readout(plan["readout"], plan["activation"]),
        ).requires_grad_(False)
    )
    potential.set_normalization(plan["references"], 1.0)
    return potential


def _layers(plan: Mapping[str, Any]) -> list[Layer]:
    """All layers; an update of angles that nothing follows is left out."""
    bonds, angles = plan["bond_convs"], plan["angle_updates"][: max(len(plan["bond_convs"]) - 1, 0)]
    steps = [_step(conv) for conv in bonds]
    return [
        Layer(
            _atom_conv(plan, conv, steps[:k]),
            _bond_conv(plan, bonds[k], steps[k]) if k < len(bonds) else None,
            _angle_update(plan, angles[k]) if k < len(angles) else None,
            changed=k > 0 and len(bonds) > 0,
        )
        for k, conv in enumerate(plan["atom_convs"])
    ]


def _atom_conv(
    plan: Mapping[str, Any], conv: Mapping[str, Any], steps: list[torch.nn.Module]
) -> AtomConv:
    """A convolution of atoms that follows the given steps of the features of all bonds."""
    features, embedding = plan["atoms"].size(1), plan["bonds"]
    weight, bias = first_layer(conv["mlp"])
    target, bond, source = weight.split([features, embedding.size(0), features], 1)
    unchanged: RadialFunction
    if _is_normed(plan):
        unchanged = NormedFilter(embedding, steps, bond)
    else:
        unchanged = _filter(bond @ embedding)
        constant = torch.zeros_like(embedding[:, 0])
        for step in steps:
            constant = step(constant)
        bias = bias + bond @ constant
    return AtomConv(
        linear_of(target, bias),
        linear_of(source),
        unchanged,
        linear_of(bond),
        gated(conv["mlp"], plan["activation"]),
        linear_of(*conv["out"]),
        norm_of(conv["norm"]),
    )


def _bond_conv(plan: Mapping[str, Any], conv: Mapping[str, Any], step: torch.nn.Module) -> BondConv:
    return BondConv(
        _angle_terms(plan, conv["mlp"]),
        gated(conv["mlp"], plan["activation"]),
        linear_of(conv["out"][0]),
        step,
        _is_normed(plan),
    )


def _angle_update(plan: Mapping[str, Any], update: Mapping[str, Any]) -> AngleUpdate:
    return AngleUpdate(
        _angle_terms(plan, update["mlp"]),
        gated(update["mlp"], plan["activation"]),
        norm_of(update["norm"]),
    )


def _is_normed(plan: Mapping[str, Any]) -> bool:
    """Whether convolutions of bonds end with a norm."""
    return any(conv["norm"] is not None for conv in plan["bond_convs"])


def _step(conv: Mapping[str, Any]) -> torch.nn.Module:
    """What a convolution of bonds makes of features that no angle changes."""
    bias = conv["out"][1]
    norm = norm_of(conv["norm"])
    if bias is None:
        return norm
    return torch.nn.Sequential(Affine(torch.ones_like(bias), bias), norm)


def _angle_terms(plan: Mapping[str, Any], mlp: Mapping[str, Any]) -> AngleTerms:
    weight, bias = first_layer(mlp)
    bonds, angles, atoms = plan["bonds"].size(0), plan["angles"].size(0), plan["atoms"].size(1)
    first, second, angle, atom = weight.split([bonds, bonds, angles, atoms], 1)
    return AngleTerms(linear_of(first), linear_of(second), linear_of(angle), linear_of(atom, bias))


def _readout(readout: Mapping[str, Any], activation: str) -> torch.nn.Module:
    parts = [norm_of(readout["norm"])]
    if readout["mlp"] is not None:
        parts += [linear_of(*first_layer(readout["mlp"])), gated(readout["mlp"], activation)]
    first, *others = readout["layers"]
    return torch.nn.Sequential(*parts, linear_of(*first), *hidden(others, activation))


def _filter(weight: Tensor) -> LinearFilter:
    made = LinearFilter(weight.size(1), weight.size(0), bias=False, dtype=torch.float64)
    with torch.no_grad():
        made.weight.copy_(weight)
    return made


def _double(value: Any) -> Any:
    """The same plain values with tensors in float64."""
    if isinstance(value, Tensor):
        return value.detach().to(torch.float64)
    if isinstance(value, Mapping):
        return {key: _double(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_double(one) for one in value]
    return value
