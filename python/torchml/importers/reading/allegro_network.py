"""The plan of a `torchml.importers.networks.allegro` of the modules of an Allegro model.

A. Musaelian et al., Nat. Commun. 14, 579 (2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .nequip_parts import (
    basis,
    norms,
    perceptron,
    repulsion,
    shifts_and_scales,
    sphere,
    stretches,
)
from .plan import Part, part
from .source import ReadingError

_MODULES = (
    "EdgeLengthNormalizer",
    "BesselEdgeLengthEncoding",
    "ProductTypeEmbedding",
    "ScalarMLP",
    "TwoBodySphericalHarmonicTensorEmbed",
    "Allegro_Module",
    "ScalarMLP",
    "EdgewiseReduce",
    "PerTypeScaleShift",
    "AtomwiseReduce",
)


def network_of(
    parts: Sequence[Any],
    symbols: Sequence[str],
    kept: Sequence[int],
    cutoffs: Tensor,
    fields: Mapping[str, Tensor],
) -> Part:
    """The plan of an Allegro.

    Args:
        parts: the modules in the order of their calls, in float64.
        symbols: chemical symbols of the kept types.
        kept: places of the kept types in the model.
        cutoffs: of the kept types, row of the centre and column of the neighbour (Å).
        fields: numbers of the whole structure; Allegro has none.

    Raises:
        ReadingError: the model is not made of these modules in the usual way.
    """
    plain = [one for one in parts if type(one).__name__ != "ZBL"]
    if (kinds := [type(one).__name__ for one in plain]) != list(_MODULES):
        other = next((one for one in kinds if one not in _MODULES), "another order")
        raise ReadingError(f"it has {other}, expected the modules of Allegro in their usual order")
    _, bessel, pair, embedding, tensors, allegro, readout, summed, scaling, _ = plain
    if not (
        allegro._env_weighter.weight_individual_irreps
        and tensors._edge_weighter.weight_individual_irreps
    ):
        raise ReadingError("all harmonics have one weight, expected one for each degree")
    largest = float(cutoffs.max())
    shifts, scales = shifts_and_scales(scaling, kept)
    return {
        "family": "allegro",
        "network": part(
            "Allegro",
            species=list(symbols),
            cutoff=largest,
            embedding=part(
                "PairEmbedding",
                basis=basis(bessel, 1.0, largest),
                projection=_matrix(pair.basis_linear),
                centers=pair.center_embed.weight[list(kept)],
                neighbors=pair.neighbor_embed.weight[list(kept)],
                network=_network(embedding.mlp_module),
            ),
            harmonics=sphere(tensors.sh),
            weighting=_matrix(tensors.env_embed_linear),
            first=_matrix(allegro.first_layer_env_embed_projection),
            blocks=[
                part(
                    "Layer",
                    coupling=part("Coupling", coefficients=_coefficients(product)),
                    network=_network(latent),
                )
                for product, latent in zip(allegro.tps, allegro.latents, strict=True)
            ],
            scalars=int(allegro.num_scalar_features),
            channels=int(allegro.num_tensor_features),
            readout=_network(readout.mlp_module),
            norms=norms(allegro.avg_num_neighbors_norm, kept),
            # Of a sum over pairs, each of which is counted twice.
            scales=scales * norms(summed.norm_module, kept) / math.sqrt(2.0),
            stretches=stretches(cutoffs),
            repulsion=repulsion(parts, kept, largest),
        ),
        "references": dict(zip(symbols, shifts.tolist(), strict=True)),
    }


def _network(function: Any) -> Part:
    return part("Perceptron", **vars(perceptron(function)))


def _matrix(function: Any) -> Tensor:
    """Of a perceptron without activation."""
    matrix, *others = perceptron(function).weights
    for one in others:
        matrix = matrix @ one
    return matrix


def _coefficients(product: Any) -> Tensor:
    """Of Allegro's tensor product, a bilinear function of unit vectors: [U, I, J, K]."""
    left, right = product.base_dim1, product.base_dim2
    one = torch.eye(left, dtype=torch.float64).repeat_interleave(right, 0)
    two = torch.eye(right, dtype=torch.float64).repeat(left, 1)
    channels = (-1, product.mul, -1)
    values: Tensor = product(
        one.unsqueeze(1).expand(channels),
        two.unsqueeze(1).expand(channels),
        torch.arange(left * right),
    )
    return values.view(left, right, product.mul, -1).permute(2, 0, 1, 3)
