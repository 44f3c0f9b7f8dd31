"""The plan of one layer of a NequIP-type network, of the maps that it is made of.

S. Batzner et al., Nat. Commun. 13, 2453 (2022): linear map, convolution, linear map,
self-connection and gate. Which package the maps come from does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from .equivariant import Gated, Linear, Path, Perceptron
from .plan import part


def nequip_layer(
    present: Mapping[str, int],
    *,
    up: Linear,
    ways: Sequence[Path],
    radial: Perceptron,
    down: Mapping[str, Tensor],
    keep: Mapping[str, Tensor],
    bias: Tensor,
    outputs: Sequence[Gated],
    last: bool,
    factors: Tensor | None = None,
) -> tuple[dict[str, Any], dict[str, int]]:
    """A layer without what nothing can reach or nothing needs, and the kinds that it returns.

    Args:
        present: blocks of the features by kind.
        up: the map of the features before they are sent.
        ways: the paths of the convolution, in the order of the messages' columns.
        radial: makes the factors of the paths.
        down: matrices [U, U'] of the summed messages, by kind, the denominator in them.
        keep: matrices [Z, U, U'] of the own features, by kind.
        bias: [U'], added to the even scalars before the gate.
        outputs: what the gate returns.
        last: only even scalars are needed.
        factors: of what is sent, by the element of the sender, [Z].

    Returns:
        The part `Layer`, and the blocks of its result by kind.
    """
    rows = _rows(ways)
    ways = [way for way in ways if way.source in present and way.source in up.matrices]
    reached = {way.result for way in ways if way.result in down}
    reached |= {kind for kind in keep if kind in present}
    outputs = [
        one
        for one in outputs
        if one.value[0] in reached
        and (one.gate is None or one.gate[0] in reached)
        and (one.kind == "0e" or not last)
    ]
    # The channels of each kind before the gate, in the order in which the gate takes them.
    channels: dict[str, list[int]] = {}
    begins = []
    for one in outputs:
        for kind, taken in (one.value, one.gate or ("", [])):
            begins.append(len(channels.setdefault(kind, [])) if kind else 0)
            if kind:
                channels[kind] += taken
    kinds = list(channels)
    ways = [way for way in ways if way.result in channels]
    sent = [kind for kind in present if any(way.source == kind for way in ways)]
    summed = [kind for kind in kinds if any(way.result == kind for way in ways)]
    kept = [kind for kind in kinds if kind in keep and kind in present]
    columns = [column for way in ways for column in way.columns]
    weights = [*radial.weights[:-1], radial.weights[-1][:, columns]]

    def added(kind: str) -> Tensor | None:
        chosen = bias[channels[kind]] if kind == "0e" else bias[:0]
        return chosen if bool(chosen.any()) else None

    layer = part(
        "Layer",
        up=[
            part(
                "ElementLinear",
                weights=up.matrices[kind].unsqueeze(0),
                bias=up.bias if kind == "0e" and bool(up.bias.any()) else None,
            )
            for kind in sent
        ],
        sends=[present[kind] for kind in sent],
        factors=factors,
        convolution=part(
            "Convolution",
            radial=part(
                "RadialWeights",
                network=part("Perceptron", weights=weights, activation=radial.activation),
                late=False,
            ),
            paths=[
                part(
                    "MessagePath",
                    source=sent.index(way.source),
                    result=summed.index(way.result),
                    channels=way.channels,
                    tensor=way.tensor,
                )
                for way in ways
            ],
        ),
        down=[
            part(
                "ElementLinear",
                weights=_chosen(down[kind], [rows[w.place] for w in ways if w.result == kind])[
                    :, channels[kind]
                ].unsqueeze(0),
                bias=added(kind),
            )
            for kind in summed
        ],
        arrives=[kinds.index(kind) for kind in summed],
        keep=[part("ElementLinear", weights=keep[kind][:, :, channels[kind]]) for kind in kept],
        kept=[present[kind] for kind in kept],
        stays=[kinds.index(kind) for kind in kept],
        gate=part(
            "Gate",
            values=[kinds.index(one.value[0]) for one in outputs],
            value_begins=begins[::2],
            sizes=[len(one.value[1]) for one in outputs],
            gates=[kinds.index(one.gate[0]) if one.gate else -1 for one in outputs],
            gate_begins=begins[1::2],
            activations=[one.activation for one in outputs],
            factors=[one.factor for one in outputs],
        ),
    )
    return layer, {one.kind: k for k, one in enumerate(outputs)}


def _rows(ways: Sequence[Path]) -> dict[int, list[int]]:
    """Which rows of the matrix of its result belong to the path at a place."""
    rows: dict[int, list[int]] = {}
    used: dict[str, int] = {}
    for way in ways:
        begin = used.get(way.result, 0)
        used[way.result] = begin + way.channels
        rows[way.place] = list(range(begin, begin + way.channels))
    return rows


def _chosen(matrix: Tensor, rows: list[list[int]]) -> Tensor:
    return matrix[[row for some in rows for row in some]]
