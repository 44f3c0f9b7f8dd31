"""The plan of a `torchml.importers.networks.nequip` of the modules of a NequIP model.

S. Batzner et al., Nat. Commun. 13, 2453 (2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .equivariant import gated, linear, linear_by_element, paths
from .nequip_layer import nequip_layer
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

_BEFORE = (
    "NodeTypeEmbed",
    "SphericalHarmonicEdgeAttrs",
    "EdgeLengthNormalizer",
    "BesselEdgeLengthEncoding",
    "ApplyFactor",
)
_LAYER = "ConvNetLayer"
_AFTER = ("ScalarMLP", "PerTypeScaleShift", "AtomwiseReduce")


def network_of(
    parts: Sequence[Any],
    symbols: Sequence[str],
    kept: Sequence[int],
    cutoffs: Tensor,
    fields: Mapping[str, Tensor],
) -> Part:
    """The plan of a NequIP.

    Args:
        parts: nequip's modules in the order of their calls, in float64.
        symbols: chemical symbols of the kept types.
        kept: places of the kept types in the model.
        cutoffs: of the kept types, row of the centre and column of the neighbour (Å).
        fields: numbers of the whole structure that the model embeds beside the types.

    Raises:
        ReadingError: the model is not made of these modules in the usual way.
    """
    kinds = [type(one).__name__ for one in parts]
    layers = [one for one in parts if type(one).__name__ == _LAYER]
    expected = [*_BEFORE, *[_LAYER] * len(layers), *_AFTER]
    plain = [kind for kind in kinds if kind != "ZBL"]
    if plain != expected:
        other = next((one for one in plain if one not in expected), "another order")
        raise ReadingError(f"it has {other}, expected the modules of NequIP in their usual order")
    embedding, harmonics, _, bessel, factor = parts[: len(_BEFORE)]
    readout, scaling = parts[kinds.index("ScalarMLP")], parts[kinds.index("PerTypeScaleShift")]
    attributes = embedding({"atom_types": torch.tensor(kept), **fields})["node_attrs"]
    present, blocks = {"0e": 0}, []
    for one in layers:
        block, present = _layer(one, present, attributes, kept, one is layers[-1])
        blocks.append(block)
    largest = float(cutoffs.max())
    shifts, scales = shifts_and_scales(scaling, kept)
    return {
        "family": "nequip",
        "network": part(
            "NequIP",
            species=list(symbols),
            cutoff=largest,
            embedding=attributes,
            basis=basis(bessel, float(factor.factor), largest),
            harmonics=sphere(harmonics.sh),
            normalized=True,
            blocks=blocks,
            readout=part("Readout", **vars(perceptron(readout.mlp_module))),
            scales=scales,
            stretches=stretches(cutoffs),
            repulsion=repulsion(parts, kept, largest),
        ),
        "references": dict(zip(symbols, shifts.tolist(), strict=True)),
    }


def _layer(
    module: Any, present: dict[str, int], attributes: Tensor, kept: Sequence[int], last: bool
) -> tuple[Part, dict[str, int]]:
    conv, gate = module.conv, module.equivariant_nonlin
    if module.resnet or type(gate).__name__ != "Gate":
        raise ReadingError("a layer adds to its input or has no gate, expected a gate alone")
    up, down = (
        linear(one, one.irreps_in, one.irreps_out) for one in (conv.linear_1, conv.linear_2)
    )
    keep = {}
    if conv.sc is not None:
        keep = linear_by_element(conv.sc, attributes, conv.sc.irreps_in1, conv.sc.irreps_out)
    factors = norms(conv.avg_num_neighbors_norm, kept)
    same = bool((factors == factors[0]).all())
    divided = float(factors[0]) if same else 1.0
    return nequip_layer(
        present,
        up=up,
        ways=paths(conv.tp_scatter.tp),
        radial=perceptron(conv.edge_mlp),
        down={kind: matrix * divided for kind, matrix in down.matrices.items()},
        keep=keep,
        bias=down.bias,
        outputs=gated(gate, gate.irreps_out),
        last=last,
        factors=None if same else factors,
    )
