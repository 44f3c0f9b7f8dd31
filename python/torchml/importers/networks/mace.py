"""MACE as an `EdgeModel`: the same function, arranged for evaluation on a CPU.

I. Batatia, D. P. Kovács, G. N. C. Simm, C. Ortner and G. Csányi, NeurIPS 2022 (arXiv:2206.07697).

`torchml.importers.reading.mace_plan` writes the plan of these modules from a MACE model.
"""

import sys
from typing import Any

import torch
from torch import Tensor

from torchml.errors import ModelError
from torchml.importers.networks import equivariant, messages, radial, repulsion
from torchml.importers.networks.equivariant import Harmonics
from torchml.importers.networks.messages import Interaction, scripting, slots_of
from torchml.importers.networks.plan import built
from torchml.importers.networks.radial import Basis, RadialWeights
from torchml.importers.networks.repulsion import ScreenedRepulsion, stretched
from torchml.models.base import EdgeModel, per_node
from torchml.models.products import products, term_table
from torchml.models.radial import lengths
from torchml.models.scaled import Scaled


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


class TransformedBasis(Basis):
    """The same, of distances that are transformed first, for each pair of elements otherwise."""

    @torch.jit.unused
    def forward(self, r: Tensor) -> Tensor:
        raise ModelError(
            "this MACE transforms distances by the elements: there are no functions of the "
            "distance alone that splines could stand for"
        )


class DensityShare(RadialWeights):
    """What an edge adds to the density of neighbours: [E, 1]."""

    def forward(self, expansion: Tensor) -> Tensor:
        share = torch.tanh(self.network(expansion[:, :-1]).square())
        return share * expansion[:, -1:] if self.late else share


class Product(torch.nn.Module):
    """Many-body features: polynomials of the messages, then linear maps (eqs. 10 and 11).

    MACE contracts the messages with dense coupling tensors. Of these polynomials' coefficients
    most are zero: here they are summed over the monomials that occur.

    Args:
        terms: of the polynomials: the component of the result, and the components of the messages
            whose product a term contains.
        coefficients: [Z, T, U], by element, or one for all elements with Z = 1.
        sizes: components of each block of the result.
        linear: weights [U, U'] by block.
    """

    terms: Tensor
    coefficients: Tensor

    def __init__(
        self, terms: list[list[int]], coefficients: Tensor, sizes: list[int], linear: list[Tensor]
    ) -> None:
        super().__init__()
        self.register_buffer("terms", term_table([(term[0], term[1:]) for term in terms]))
        self.register_buffer("coefficients", coefficients)
        self.has_elements = coefficients.size(0) > 1
        self.sizes = sizes
        self.linear = torch.nn.ParameterList(
            torch.nn.Parameter(weight, requires_grad=False) for weight in linear
        )

    def forward(self, messages: list[Tensor], kept: list[Tensor], species: Tensor) -> list[Tensor]:
        """Blocks [n, d, U'] of messages [n, d, U]; `kept`, where there are any, is added."""
        elements = species if self.has_elements else torch.zeros_like(species)
        x = torch.cat(messages, dim=1)
        results = products(x, elements, self.coefficients, self.terms, sum(self.sizes))
        blocks = results.split(self.sizes, 1)
        features: list[Tensor] = []
        for k, weight in enumerate(self.linear):
            block = blocks[k] @ weight
            features.append(block + kept[k] if len(kept) > 0 else block)
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

    `build` makes it.

    Args:
        species: chemical symbols, in the order of the elements of the weights.
        cutoff: radius of one message (Å).
        blocks: the layers.
        embedding: features [Z, U] of the elements.
        basis: expands distances, for all layers.
        harmonics: of the directions of edges.
        transform: MACE's transform of the distances, if it has one.
        repulsion: of pairs that are close, if the model has one.
        stretches: 1 over the distance where the repulsion of a pair ends, [Z, Z].
    """

    embedding: Tensor
    stretches: Tensor

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
        repulsion: ScreenedRepulsion | None = None,
        stretches: Tensor | None = None,
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
        absent = torch.ones(0, 0, dtype=torch.float64)
        self.register_buffer("stretches", absent if stretches is None else stretches)

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
        if not self.basis.compressed and (scripting() or self.training):
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
            near, pairs = r[: edge_counts[0]].to(dtype), edge_index[:, : edge_counts[0]]
            far = stretched(near, self.stretches, elements, pairs)
            energies = energies + self.repulsion(near, far, elements, pairs, n_0)
        return per_node(energies, elements)


def build(network: dict[str, Any]) -> Scaled:
    """The potential of a plan, in float64.

    Args:
        network: `network`, the recorded parts; `references`, energies (eV) by symbol; `scale` (eV).
    """
    parts = equivariant, messages, radial, repulsion, sys.modules[__name__]
    potential = Scaled(built(network["network"], *parts))
    potential.set_normalization(network["references"], network["scale"])
    return potential
