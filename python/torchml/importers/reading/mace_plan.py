"""The weights of a MACE model, as the plan of a `torchml.importers.networks.mace`.

MACE's linear maps normalize their weights in many ways. The matrix of a map is read here from its
values at unit vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .elements import SYMBOLS
from .equivariant import harmonics, linear, linear_by_element, paths, perceptron, places
from .plan import Part, part
from .source import ReadingError

DENSITY = ("RealAgnosticDensityInteractionBlock", "RealAgnosticDensityResidualInteractionBlock")
# Of MACE's repulsion of nuclei: e^2 / (4 pi epsilon_0) in eV Å, and decays of the exponentials.
_COULOMB, _DECAYS = 14.3996, (3.2, 0.9423, 0.4028, 0.2016)


def plan_of(model: Any, elements: list[int], head: int) -> dict[str, Any]:
    """The plan of the potential of a MACE.

    Args:
        model: the MACE, in float64.
        elements: places in its table of elements.
        head: place in its list of heads.
    """
    symbols = [SYMBOLS[z] for z in model.atomic_numbers[elements].tolist()]
    one_hot = torch.eye(len(model.atomic_numbers), dtype=torch.float64)[elements]
    count = len(model.interactions)
    readouts: list[Any] = list(model.readouts)
    if len(readouts) == 1:
        readouts = [None] * (count - 1) + readouts
    blocks = []
    for interaction, product, readout in zip(
        model.interactions, model.products, readouts, strict=True
    ):
        contractions = product.symmetric_contractions
        _, scalars = places(contractions.irreps_out)["0e"]
        blocks.append(
            part(
                "Layer",
                _interaction(model, interaction, one_hot),
                _product(product, elements),
                None if readout is None else _readout(readout, contractions.irreps_out, head),
                scalars,
            )
        )
    transform = getattr(model.radial_embedding, "distance_transform", None)
    repulsion = getattr(model, "pair_repulsion_fn", None)
    network = part(
        "MACE",
        symbols,
        float(model.r_max),
        blocks,
        model.node_embedding(one_hot),
        part(
            "Basis" if transform is None else "TransformedBasis",
            _functions(model.radial_embedding.bessel_fn),
            part("PolynomialEnvelope", int(model.radial_embedding.cutoff_fn.p), float(model.r_max)),
            not getattr(model.radial_embedding, "apply_cutoff", True),
        ),
        part("Harmonics", *harmonics(model.spherical_harmonics, model.spherical_harmonics._lmax)),
        None if transform is None else _transform(transform, model.atomic_numbers[elements]),
        *(() if repulsion is None else _repulsion(repulsion, model.atomic_numbers[elements])),
    )
    scale, shift = 1.0, 0.0
    if hasattr(model, "scale_shift"):
        scale = float(torch.atleast_1d(model.scale_shift.scale)[head])
        shift = float(torch.atleast_1d(model.scale_shift.shift)[head])
    energies = torch.atleast_2d(model.atomic_energies_fn.atomic_energies)[head, elements] + shift
    references = dict(zip(symbols, energies.tolist(), strict=True))
    return {"family": "mace", "network": network, "references": references, "scale": scale}


def _functions(functions: Any) -> Part:
    """The functions of the distance, or of the transformed distance."""
    kind = type(functions).__name__
    if kind == "BesselBasis":
        return part("BesselFunctions", functions.bessel_weights, float(functions.prefactor))
    if kind == "GaussianBasis":
        return part("GaussianFunctions", functions.gaussian_weights, float(functions.coeff))
    if kind == "ChebychevBasis":
        return part("ChebyshevFunctions", int(functions.num_basis))
    raise ReadingError(
        f"distances are expanded in a {kind}, expected BesselBasis | GaussianBasis | ChebychevBasis"
    )


def _transform(transform: Any, numbers: Tensor) -> Part:
    kind = type(transform).__name__
    radii = transform.covalent_radii[numbers]
    if kind == "AgnesiTransform":
        return part(
            "AgnesiTransform", radii, *(getattr(transform, name).double() for name in "qpa")
        )
    if kind == "SoftTransform":
        return part("SoftTransform", radii, transform.alpha.double())
    raise ReadingError(
        f"distances are transformed by a {kind}, expected AgnesiTransform | SoftTransform"
    )


def _repulsion(function: Any, numbers: Tensor) -> tuple[Part, Tensor]:
    """The repulsion of nuclei, which ends where covalent radii touch, and 1 over this distance."""
    charges, radii = numbers.double(), function.covalent_radii[numbers]
    repulsion = part(
        "ScreenedRepulsion",
        charges * (0.5 * _COULOMB) ** 0.5,
        charges**function.a_exp / (function.a_prefactor * 0.529),
        function.c.tolist(),
        list(_DECAYS),
        part("PolynomialEnvelope", int(function.p), 1.0),
    )
    return repulsion, 1.0 / (radii.unsqueeze(0) + radii.unsqueeze(1)).double()


def _interaction(model: Any, block: Any, one_hot: Tensor) -> Part:
    tensor_product = block.conv_tp
    features, sent = block.linear_up.irreps_in, block.linear_up.irreps_out
    middle, target, own = block.linear.irreps_in, block.linear.irreps_out, block.skip_tp.irreps_out
    inputs, sent_places, results = places(features), places(sent), places(target)

    up = _matrices(block.linear_up, features, sent)
    ways = [
        part(
            "MessagePath",
            sent_places[way.source][1],
            results[way.result][1],
            way.channels,
            way.tensor,
        )
        for way in paths(tensor_product)
    ]
    down = {kind: one.unsqueeze(0) for kind, one in _matrices(block.linear, middle, target).items()}
    density = type(block).__name__ in DENSITY
    if not density:
        down = {kind: one / float(block.avg_num_neighbors) for kind, one in down.items()}
    keep, kept = [], []
    if "Residual" in type(block).__name__:
        skip = linear_by_element(block.skip_tp, one_hot, features, own)
        scalars = inputs["0e"]
        for kind, (where, _) in places(own).items():
            nothing = one_hot.new_zeros(1, len(scalars[0]), len(where))
            keep.append(part("ElementLinear", skip.get(kind, nothing)))
            kept.append(inputs[kind][1] if kind in skip else scalars[1])
    else:
        skip = linear_by_element(block.skip_tp, one_hot, target, target)
        down = {kind: one @ skip[kind] for kind, one in down.items()}
    late = not getattr(model.radial_embedding, "apply_cutoff", True)
    return part(
        "Interaction",
        part("RadialWeights", _perceptron(block.conv_tp_weights), late),
        part("DensityShare", _perceptron(block.density_fn), late) if density else None,
        [part("ElementLinear", up[kind].unsqueeze(0)) for kind in sent_places],
        [inputs[kind][1] for kind in sent_places],
        ways,
        [part("ElementLinear", down[kind]) for kind in results],
        keep,
        kept,
    )


def _perceptron(network: Any) -> Part:
    return part("Perceptron", **vars(perceptron(network)))


def _product(block: Any, elements: list[int]) -> Part:
    contractions = block.symmetric_contractions
    agnostic = bool(getattr(block, "use_agnostic_product", False))
    rows = [0] if agnostic else elements
    irreps = contractions.irreps_out
    dimension = sum(kind.dim for _, kind in contractions.irreps_in)
    terms: list[list[int]] = []
    coefficients: list[Tensor] = []
    component = 0
    for contraction, (_, kind) in zip(contractions.contractions, irreps, strict=True):
        for factors, table in _polynomials(contraction, rows, dimension):
            for c, one in enumerate(table.unbind(1)):
                if bool(one.abs().max() > 0):
                    terms.append([component + c, *factors])
                    coefficients.append(one)
        component += kind.dim
    matrices = _matrices(block.linear, irreps, irreps)
    return part(
        "Product",
        terms,
        torch.stack(coefficients, 1),
        [kind.dim for _, kind in irreps],
        [matrices[kind] for kind in places(irreps)],
    )


def _polynomials(
    contraction: Any, elements: list[int], dimension: int
) -> list[tuple[tuple[int, ...], Tensor]]:
    """The monomials (of which components), and their coefficients [Z, d, U] of a block."""
    found: list[tuple[tuple[int, ...], Tensor]] = []
    for nu in range(1, contraction.correlation + 1):
        coupling = contraction.U_tensors(nu)
        coupling = coupling.reshape(-1, dimension**nu, coupling.size(-1))  # [d, D^nu, K]
        last = nu == contraction.correlation
        weights = contraction.weights_max if last else contraction.weights[-nu]
        sums: dict[tuple[int, ...], Tensor] = {}
        for place in coupling.abs().amax((0, 2)).nonzero().flatten().tolist():
            index = tuple(sorted(place // dimension**k % dimension for k in range(nu)))
            sums[index] = sums.get(index, 0.0) + coupling[:, place]
        smallest = 1e-15 * float(coupling.abs().max())
        for index, one in sums.items():
            one = torch.where(one.abs() > smallest, one, 0.0)
            if bool(one.abs().max() > 0):
                found.append((index, torch.einsum("dk,zku->zdu", one, weights[elements])))
    return found


def _readout(block: Any, irreps: Any, head: int) -> Part:
    """The energy of one head."""
    if type(block).__name__ == "LinearReadoutBlock":
        weights = _matrices(block.linear, irreps, block.linear.irreps_out)["0e"]
        return part("Readout", [weights[:, head : head + 1]], "none")
    hidden = block.hidden_irreps
    first = _matrices(block.linear_1, irreps, hidden)["0e"]
    second = _matrices(block.linear_2, hidden, block.linear_2.irreps_out)["0e"]
    width = first.size(1) // getattr(block, "num_heads", 1)
    own = slice(head * width, (head + 1) * width) if width < first.size(1) else slice(None)
    (activation,) = block.non_linearity.acts
    if activation is None:
        return part("Readout", [first[:, own], second[own, head : head + 1]], "none")
    factor = 1.0 if activation._is_id else activation.cst
    return part(
        "Readout", [first[:, own], factor * second[own, head : head + 1]], activation.f.__name__
    )


def _matrices(
    function: Callable[[Tensor], Tensor], irreps_in: Any, irreps_out: Any
) -> dict[str, Tensor]:
    """The matrices [U, U'] of MACE's maps, which have no bias, by kind of representation."""
    return linear(function, irreps_in, irreps_out).matrices
