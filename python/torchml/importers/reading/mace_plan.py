"""The weights of a MACE model, as the plan of a `torchml.importers.networks.mace`.

MACE's linear maps normalize their weights in many ways. The matrix of a map is read here from its
values at unit vectors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .elements import SYMBOLS
from .plan import Part, part
from .source import ReadingError

AgnesiTransform = part("AgnesiTransform")
Basis = part("Basis")
BesselFunctions = part("BesselFunctions")
ChebyshevFunctions = part("ChebyshevFunctions")
Degree = part("Degree")
DensityShare = part("DensityShare")
ElementLinear = part("ElementLinear")
GaussianFunctions = part("GaussianFunctions")
Harmonics = part("Harmonics")
Interaction = part("Interaction")
Layer = part("Layer")
MACE = part("MACE")
MessagePath = part("MessagePath")
Perceptron = part("Perceptron")
PolynomialEnvelope = part("PolynomialEnvelope")
Product = part("Product")
RadialWeights = part("RadialWeights")
Readout = part("Readout")
Repulsion = part("Repulsion")
SoftTransform = part("SoftTransform")
TransformedBasis = part("TransformedBasis")

DENSITY = ("RealAgnosticDensityInteractionBlock", "RealAgnosticDensityResidualInteractionBlock")


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
        _, scalars = _places(contractions.irreps_out)["0e"]
        blocks.append(
            Layer(
                _interaction(model, interaction, one_hot),
                _product(product, elements),
                None if readout is None else _readout(readout, contractions.irreps_out, head),
                scalars,
            )
        )
    transform = getattr(model.radial_embedding, "distance_transform", None)
    repulsion = getattr(model, "pair_repulsion_fn", None)
    network = MACE(
        symbols,
        float(model.r_max),
        blocks,
        model.node_embedding(one_hot),
        (Basis if transform is None else TransformedBasis)(
            _functions(model.radial_embedding.bessel_fn),
            PolynomialEnvelope(int(model.radial_embedding.cutoff_fn.p), float(model.r_max)),
            not getattr(model.radial_embedding, "apply_cutoff", True),
        ),
        _harmonics(model.spherical_harmonics),
        None if transform is None else _transform(transform, model.atomic_numbers[elements]),
        None if repulsion is None else _repulsion(repulsion, model.atomic_numbers[elements]),
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
        return BesselFunctions(functions.bessel_weights, float(functions.prefactor))
    if kind == "GaussianBasis":
        return GaussianFunctions(functions.gaussian_weights, float(functions.coeff))
    if kind == "ChebychevBasis":
        return ChebyshevFunctions(int(functions.num_basis))
    raise ReadingError(
        f"distances are expanded in a {kind}, expected BesselBasis | GaussianBasis | ChebychevBasis"
    )


def _transform(transform: Any, numbers: Tensor) -> Part:
    kind = type(transform).__name__
    radii = transform.covalent_radii[numbers]
    if kind == "AgnesiTransform":
        return AgnesiTransform(radii, *(getattr(transform, name).double() for name in "qpa"))
    if kind == "SoftTransform":
        return SoftTransform(radii, transform.alpha.double())
    raise ReadingError(
        f"distances are transformed by a {kind}, expected AgnesiTransform | SoftTransform"
    )


def _repulsion(function: Any, numbers: Tensor) -> Part:
    charges = numbers.double()
    return Repulsion(
        charges,
        function.covalent_radii[numbers],
        charges**function.a_exp / (function.a_prefactor * 0.529),
        function.c,
        int(function.p),
    )


def _places(irreps: Any) -> dict[str, tuple[list[int], int]]:
    """Of each kind of representation, the columns of its first component, and its block.

    Blocks are numbered by the kinds in their order.
    """
    columns: dict[str, list[int]] = {}
    for (count, kind), columns_of in zip(irreps, irreps.slices(), strict=True):
        found = columns.setdefault(str(kind), [])
        found += [columns_of.start + u * kind.dim for u in range(count)]
    return {kind: (where, k) for k, (kind, where) in enumerate(columns.items())}


def _linear(
    function: Callable[[Tensor], Tensor], irreps_in: Any, irreps_out: Any
) -> dict[str, Tensor]:
    """The matrices [U, U'] of an equivariant linear map, by kind of representation."""
    matrix = function(torch.eye(irreps_in.dim, dtype=torch.float64))
    inputs, outputs = _places(irreps_in), _places(irreps_out)
    return {
        kind: matrix[inputs[kind][0]][:, outputs[kind][0]] for kind in outputs if kind in inputs
    }


def _by_element(
    function: Callable[[Tensor, Tensor], Tensor], one_hot: Tensor, irreps_in: Any, irreps_out: Any
) -> dict[str, Tensor]:
    """The same [Z, U, U'] of a map that differs from element to element."""

    def of_element(z: Tensor) -> dict[str, Tensor]:
        return _linear(lambda x: function(x, z.expand(len(x), -1)), irreps_in, irreps_out)

    maps = [of_element(z) for z in one_hot]
    return {kind: torch.stack([one[kind] for one in maps]) for kind in maps[0]}


def _interaction(model: Any, block: Any, one_hot: Tensor) -> Part:
    tensor_product = block.conv_tp
    features, sent = block.linear_up.irreps_in, block.linear_up.irreps_out
    middle, target, own = block.linear.irreps_in, block.linear.irreps_out, block.skip_tp.irreps_out
    inputs, sent_places, results = _places(features), _places(sent), _places(target)

    up = _linear(block.linear_up, features, sent)
    paths = _paths(tensor_product, sent_places, results)
    down = {kind: one.unsqueeze(0) for kind, one in _linear(block.linear, middle, target).items()}
    density = type(block).__name__ in DENSITY
    if not density:
        down = {kind: one / float(block.avg_num_neighbors) for kind, one in down.items()}
    keep, kept = [], []
    if "Residual" in type(block).__name__:
        skip = _by_element(block.skip_tp, one_hot, features, own)
        scalars = inputs["0e"]
        for kind, (where, _) in _places(own).items():
            nothing = one_hot.new_zeros(1, len(scalars[0]), len(where))
            keep.append(ElementLinear(skip.get(kind, nothing)))
            kept.append(inputs[kind][1] if kind in skip else scalars[1])
    else:
        skip = _by_element(block.skip_tp, one_hot, target, target)
        down = {kind: one @ skip[kind] for kind, one in down.items()}
    late = not getattr(model.radial_embedding, "apply_cutoff", True)
    return Interaction(
        RadialWeights(_perceptron(block.conv_tp_weights), late),
        DensityShare(_perceptron(block.density_fn), late) if density else None,
        [ElementLinear(up[kind].unsqueeze(0)) for kind in sent_places],
        [inputs[kind][1] for kind in sent_places],
        paths,
        [ElementLinear(down[kind]) for kind in results],
        keep,
        kept,
    )


def _paths(
    tensor_product: Any,
    sent: dict[str, tuple[list[int], int]],
    results: dict[str, tuple[list[int], int]],
) -> list[Part]:
    """The products of features and harmonics; all channels couple as the first."""
    one, two, three = (
        tensor_product.irreps_in1,
        tensor_product.irreps_in2,
        tensor_product.irreps_out,
    )
    paths, begin = [], 0
    for way in tensor_product.instructions:
        first, second, third = one[way.i_in1], two[way.i_in2], three[way.i_out]
        pairs = list(itertools.product(range(first.ir.dim), range(second.ir.dim)))
        x = torch.zeros(len(pairs), one.dim, dtype=torch.float64)
        y = torch.zeros(len(pairs), two.dim, dtype=torch.float64)
        for row, (a, b) in enumerate(pairs):
            x[row, one.slices()[way.i_in1].start + a] = 1.0
            y[row, two.slices()[way.i_in2].start + b] = 1.0
        weights = torch.zeros(len(pairs), tensor_product.weight_numel, dtype=torch.float64)
        weights[:, begin : begin + first.mul] = 1.0
        begin += first.mul
        start = three.slices()[way.i_out].start
        coupling = tensor_product(x, y, weights)[:, start : start + third.ir.dim]
        harmonics = torch.zeros(first.ir.dim, two.dim, third.ir.dim, dtype=torch.float64)
        harmonics[:, two.slices()[way.i_in2]] = coupling.reshape(
            first.ir.dim, second.ir.dim, third.ir.dim
        )
        block, result = sent[str(first.ir)][1], results[str(third.ir)][1]
        paths.append(MessagePath(block, result, first.mul, harmonics))
    return paths


def _perceptron(network: Any) -> Part:
    """e3nn's network. Its factors before and after an activation go into the matrices."""
    weights, factor = [], 1.0
    for layer in network:
        norm = (layer.h_in * layer.var_in) ** 0.5
        if layer.act is None:
            weights.append(layer.weight * (factor * layer.var_out**0.5 / norm))
            continue
        if layer.act.f is not torch.nn.functional.silu:
            raise ReadingError(f"a radial network has the activation {layer.act.f}, expected SiLU")
        weights.append(layer.weight * (factor / norm))
        factor = (1.0 if layer.act._is_id else layer.act.cst) * layer.var_out**0.5
    return Perceptron(weights)


def _harmonics(function: Any) -> Part:
    """Y_{l+1} as a bilinear function of Y_l and the vector, by least squares at random vectors."""
    unit = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unit /= unit.norm(dim=1, keepdim=True)
    values = function(unit)
    steps, begin = [], 0
    for size in range(1, 2 * function._lmax + 1, 2):  # 2l + 1
        lower = values[:, begin : begin + size]
        begin += size
        upper = values[:, begin : begin + size + 2]
        pairs = (lower.unsqueeze(2) * unit.unsqueeze(1)).flatten(1)
        # The smallest of all solutions: products of Y_l with the vector hold Y_{l-1} too.
        steps.append(torch.linalg.pinv(pairs, rtol=1e-10) @ upper)
    return Harmonics(values[0, 0], steps)


def _product(block: Any, elements: list[int]) -> Part:
    contractions = block.symmetric_contractions
    agnostic = bool(getattr(block, "use_agnostic_product", False))
    rows = [0] if agnostic else elements
    irreps, order = contractions.irreps_out, max(c.correlation for c in contractions.contractions)
    dimension = sum(kind.dim for _, kind in contractions.irreps_in)
    tensors = [
        _polynomials(contraction, rows, order, dimension)
        for contraction in contractions.contractions
    ]
    degrees: list[Part] = []
    wanted = [{key for one in tensors for key in one[nu]} for nu in range(order)]
    wanted[0] = {(i,) for i in range(dimension)}
    for nu in range(order - 1, 0, -1):
        wanted[nu - 1] |= {key[:-1] for key in wanted[nu]}
    keys = [sorted(one) for one in wanted]
    for nu in range(order):
        places = {key: k for k, key in enumerate(keys[nu - 1])} if nu else {}
        coefficients = []  # of each block: [Z, d, U, P]
        for one, (_, kind) in zip(tensors, irreps, strict=True):
            table = torch.zeros(
                len(keys[nu]),
                len(rows),
                kind.dim,
                contractions.irreps_in[0].mul,
                dtype=torch.float64,
            )
            for k, key in enumerate(keys[nu]):
                if key in one[nu]:
                    table[k] = one[nu][key]
            coefficients.append(table)
        joined = torch.cat(coefficients, dim=2).permute(3, 1, 2, 0).flatten(1, 2).contiguous()
        degrees.append(
            Degree(
                nu == 0,
                torch.tensor([places.get(key[:-1], 0) for key in keys[nu]]),
                torch.tensor([key[-1] for key in keys[nu]]),
                joined,
            )
        )
    linear = _linear(block.linear, irreps, irreps)
    kinds = _places(irreps)
    return Product(
        degrees,
        len(rows),
        [kind.dim for _, kind in irreps],
        [linear[kind].T.contiguous() for kind in kinds],
    )


def _polynomials(
    contraction: Any, elements: list[int], order: int, dimension: int
) -> list[dict[tuple[int, ...], Tensor]]:
    """By degree and monomial (of which components), the coefficients [Z, d, U] of a block."""
    found: list[dict[tuple[int, ...], Tensor]] = [{} for _ in range(order)]
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
            if float(one.abs().max()) > smallest:
                found[nu - 1][index] = torch.einsum("dk,zku->zdu", one, weights[elements])
    return found


def _readout(block: Any, irreps: Any, head: int) -> Part:
    """The energy of one head."""
    if type(block).__name__ == "LinearReadoutBlock":
        weights = _linear(block.linear, irreps, block.linear.irreps_out)["0e"]
        return Readout([weights[:, head : head + 1]], "none")
    hidden = block.hidden_irreps
    first = _linear(block.linear_1, irreps, hidden)["0e"]
    second = _linear(block.linear_2, hidden, block.linear_2.irreps_out)["0e"]
    width = first.size(1) // getattr(block, "num_heads", 1)
    own = slice(head * width, (head + 1) * width) if width < first.size(1) else slice(None)
    (activation,) = block.non_linearity.acts
    if activation is None:
        return Readout([first[:, own], second[own, head : head + 1]], "none")
    factor = 1.0 if activation._is_id else activation.cst
    return Readout([first[:, own], factor * second[own, head : head + 1]], activation.f.__name__)
