"""The plan of a `torchml.importers.networks.nequip` of the modules of a NequIP model.

S. Batzner et al., Nat. Commun. 13, 2453 (2022).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .equivariant import (
    Perceptron,
    gated,
    harmonics,
    linear,
    linear_by_element,
    named,
    part,
    paths,
)
from .nequip_layer import nequip_layer
from .source import ReadingError

Part = dict[str, Any]

_BEFORE = (
    "NodeTypeEmbed",
    "SphericalHarmonicEdgeAttrs",
    "EdgeLengthNormalizer",
    "BesselEdgeLengthEncoding",
    "ApplyFactor",
)
_LAYER = "ConvNetLayer"
_AFTER = ("ScalarMLP", "PerTypeScaleShift", "AtomwiseReduce")
# The screened repulsion of nuclei in LAMMPS's constants, which nequip has too: factors and decays
# of the exponentials, length (Å), power of the charge.
_SCREENING = ((0.02817, 0.20162), (0.28022, 0.40290), (0.50986, 0.94229), (0.18175, 3.19980))
_LENGTH, _POWER = 0.46850, 0.23


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
    embedding, sphere, _, bessel, factor = parts[: len(_BEFORE)]
    readout, scaling = parts[kinds.index("ScalarMLP")], parts[kinds.index("PerTypeScaleShift")]
    attributes = embedding({"atom_types": torch.tensor(kept), **fields})["node_attrs"]
    present, blocks = {"0e": 0}, []
    for one in layers:
        block, present = _layer(one, present, attributes, kept, one is layers[-1])
        blocks.append(block)
    largest = float(cutoffs.max())
    directed = bool((cutoffs != largest).any())
    zbl = parts[kinds.index("ZBL")] if "ZBL" in kinds else None
    shifts, scales = _shifts_and_scales(scaling, kept)
    first, steps = harmonics(sphere.sh, _degree(sphere))
    return {
        "family": "nequip",
        "network": part(
            "NequIP",
            species=list(symbols),
            cutoff=largest,
            embedding=attributes,
            basis=part(
                "Basis",
                functions=part(
                    "BesselFunctions",
                    wavenumbers=bessel.bessel_weights.flatten() * (math.pi / largest),
                    prefactor=float(factor.factor) * largest / math.pi,
                ),
                envelope=_envelope(bessel.cutoff, largest),
                late=False,
            ),
            harmonics=part("Harmonics", first=first, steps=steps),
            normalized=True,
            blocks=blocks,
            readout=part("Readout", **_weights(_perceptron(readout.mlp_module))),
            scales=scales,
            stretches=largest / cutoffs if directed else None,
            repulsion=None if zbl is None else _repulsion(zbl, kept, largest),
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
    norm = conv.avg_num_neighbors_norm.norm_const.flatten()
    same = norm.numel() == 1 or bool((norm[list(kept)] == norm[kept[0]]).all())
    divided = float(norm[0] if norm.numel() == 1 else norm[kept[0]]) if same else 1.0
    return nequip_layer(
        present,
        up=up,
        ways=paths(conv.tp_scatter.tp),
        radial=_perceptron(conv.edge_mlp),
        down={kind: matrix * divided for kind, matrix in down.matrices.items()},
        keep=keep,
        bias=down.bias,
        outputs=gated(gate, gate.irreps_out),
        last=last,
        factors=None if same else norm[list(kept)],
    )


def _perceptron(function: Any) -> Perceptron:
    """nequip's perceptron; its factors go into the matrices."""
    if type(function.mlp).__name__ == "DeepLinearMLP":
        first, *others = function.mlp.weights
        return Perceptron([first * function.mlp.alpha, *others], "identity")
    weights, activation = [], "identity"
    for one in function.mlp:
        if type(one).__name__ != "ScalarLinearLayer":
            activation = named(one)
            continue
        if one.bias is not None:
            raise ReadingError("a perceptron has biases, expected none")
        weights.append(one.weight * one.alpha)
    return Perceptron(weights, activation)


def _weights(perceptron: Perceptron) -> Part:
    return {"weights": perceptron.weights, "activation": perceptron.activation}


def _degree(sphere: Any) -> int:
    """The largest degree of the spherical harmonics, which must be of unit vectors."""
    degrees = [kind.l for _, kind in sphere.irreps_edge_sh]
    if degrees != list(range(len(degrees))) or not sphere.sh.normalize:
        raise ReadingError(
            f"the spherical harmonics are {sphere.irreps_edge_sh}, expected one of each degree, of "
            "unit vectors"
        )
    return degrees[-1]


def _envelope(function: Any, cutoff: float) -> Part:
    if type(function).__name__ != "PolynomialCutoff" or function.p != int(function.p):
        raise ReadingError(
            f"the envelope is {function}, expected a PolynomialCutoff of a whole power"
        )
    return part("PolynomialEnvelope", p=int(function.p), cutoff=cutoff)


def _shifts_and_scales(module: Any, kept: Sequence[int]) -> tuple[Tensor, Tensor]:
    """By kept type (eV)."""

    def by_type(values: Tensor, missing: float) -> Tensor:
        if not values.numel():
            values = torch.full([1], missing, dtype=torch.float64)
        flat = values.detach().double().flatten()
        return flat.expand(len(kept)) if flat.numel() == 1 else flat[list(kept)]

    return by_type(module.shifts, 0.0), by_type(module.scales, 1.0)


def _repulsion(zbl: Any, kept: Sequence[int], cutoff: float) -> Part:
    charges = zbl.atomic_numbers.double()[list(kept)]
    return part(
        "ScreenedRepulsion",
        charges=charges * float(zbl._qqr2exesquare) ** 0.5,
        screening=charges**_POWER / _LENGTH,
        weights=[weight for weight, _ in _SCREENING],
        decays=[decay for _, decay in _SCREENING],
        envelope=_envelope(zbl.cutoff, cutoff),
    )
