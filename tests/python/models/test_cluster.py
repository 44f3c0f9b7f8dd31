"""Energies of cluster expansions in one pass, against the same written out in torch."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib

import pytest
import torch

from helpers.instruction_sets import check_instruction_sets
from torchml.models.cluster import cluster_energies

CUTOFF = 4.0
NODES = 41
INTERVALS = 12


@dataclasses.dataclass
class Case:
    """Arguments of `cluster_energies`, in its order."""

    vectors: torch.Tensor
    species: torch.Tensor
    edge_index: torch.Tensor
    order: torch.Tensor
    core: torch.Tensor
    weights: torch.Tensor
    table: torch.Tensor
    mix: torch.Tensor
    bias: torch.Tensor
    coefficients: torch.Tensor
    terms: torch.Tensor
    outputs: int
    linear: torch.Tensor
    layers: list[torch.Tensor]
    crowding: torch.Tensor
    offset: torch.Tensor
    vacuum: torch.Tensor
    cutoff: float
    lmax: int
    nodes: int

    def arguments(self):
        return [getattr(self, field.name) for field in dataclasses.fields(self)]


def case(
    species=1,
    lmax=2,
    radial=3,
    channels=5,
    outputs=2,
    hidden=(6, 7),
    weights=None,
    nodes=NODES,
    count=NODES,
    edges=300,
    degree=3,
):
    """Random atoms, the last without edges, and a random model; hidden=None: no network."""
    generator = torch.Generator().manual_seed(7)

    def random(*shape, scale=1.0):
        return torch.randn(*shape, generator=generator, dtype=torch.float64) * scale

    def integers(high, *shape):
        return torch.randint(0, high, shape, generator=generator)

    index = torch.stack([integers(count, edges), integers(count - 1, edges)])
    vectors = random(edges, 3)
    length = 0.2 + 1.05 * CUTOFF * torch.rand(edges, 1, generator=generator, dtype=torch.float64)
    vectors = vectors / vectors.norm(dim=1, keepdim=True) * length
    weights = torch.eye(species, dtype=torch.float64) if weights is None else weights
    rows, q = (lmax + 1) ** 2, weights.shape[1] * radial
    monomials = [(), *((int(r),) for r in integers(rows, 3))]
    for d in range(2, degree + 1):
        monomials += [tuple(rows_) for rows_ in integers(rows, 6, d).tolist()]
    # One monomial is missing in one output, one occurs twice.
    terms = [(o, m) for o in range(outputs) for m in monomials[: len(monomials) - o % 2]]
    terms.append((outputs - 1, monomials[-2][::-1]))
    table = [[o, *m] + [-1] * (degree - len(m)) for o, m in terms]
    layers = []
    if hidden is not None:
        widths = [outputs * channels, *hidden, 1]
        for inner, outer in itertools.pairwise(widths):
            layers += [random(outer, inner, scale=inner**-0.5), random(outer, scale=0.3)]
    return Case(
        vectors,
        integers(species, count),
        index,
        torch.ops.torchml.edge_order(index, count),
        0.5 + torch.rand(species, species, generator=generator, dtype=torch.float64),
        weights,
        random(INTERVALS + 5, radial, scale=0.5),
        random(lmax + 1, q, channels, scale=q**-0.5),
        random(channels, scale=0.3),
        random(species, len(terms), channels, scale=0.3),
        torch.tensor(table, dtype=torch.int32),
        outputs,
        random(outputs * channels),
        layers,
        random(species, q, scale=0.2),
        random(species),
        random(species),
        CUTOFF,
        lmax,
        nodes,
    )


def to_float32(case):
    exact = ("vectors", "core", "offset", "vacuum")
    changes = {"layers": [one.float() for one in case.layers]}
    for field in dataclasses.fields(case):
        value = getattr(case, field.name)
        if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
            changes[field.name] = value if field.name in exact else value.float()
    return dataclasses.replace(case, **changes)


def harmonics(u, lmax):
    """Real harmonics [E, (lmax + 1)^2] from derivatives of Legendre polynomials."""
    x, y, z = u.unbind(1)
    rows = []
    for l in range(lmax + 1):  # noqa: E741
        row = []
        for m in range(-l, l + 1):
            k = abs(m)
            # d^k P_l / dz^k from the sum formula of P_l
            legendre = torch.zeros_like(z)
            for j in range((l - k) // 2 + 1):
                power = l - k - 2 * j
                factor = (-1) ** j * math.comb(l, j) * math.comb(2 * l - 2 * j, l) / 2**l
                factor *= math.factorial(l - 2 * j) / math.factorial(power)
                legendre = legendre + factor * z**power
            round_ = torch.zeros_like(z)
            for j in range(k + 1):
                if (j % 2 == 1) == (m < 0):
                    sign = (-1) ** (j // 2)
                    round_ = round_ + sign * math.comb(k, j) * x ** (k - j) * y**j
            norm = (2 if k else 1) * math.factorial(l - k) / math.factorial(l + k)
            row.append(math.sqrt(norm) * legendre * round_)
        rows += row
    return torch.stack(rows, 1)


def held(r, core):
    tau = ((10 * r - 9 * core) / core.clamp(min=1e-9)).clamp(0, 1)
    inner = core - core / 10 * (0.5 - tau**4 * (2.5 - 3 * tau + tau**2))
    return torch.where(r >= core, r, inner)


def share(r, core):
    t = ((4 * r - 3 * core) / core.clamp(min=1e-9)).clamp(0, 1)
    return t**3 * (10 - 15 * t + 6 * t**2)


def written_out(case):
    """The energies in float64 by torch alone, but for the splines."""
    source, target = case.edge_index
    r = case.vectors.norm(dim=1)
    core = case.core[case.species[target], case.species[source]]
    g = torch.ops.torchml.spline(held(r, core), case.table, case.cutoff)
    g = g * share(r, core).to(g.dtype).unsqueeze(1)
    y = harmonics(case.vectors / r[:, None], case.lmax)
    q = (case.weights[case.species[source]][:, :, None] * g[:, None]).flatten(1)
    shape = len(case.species), y.shape[1], q.shape[1]
    density = y.new_zeros(shape).index_add(0, target, y[:, :, None] * q[:, None])[: case.nodes]
    degrees = [k for k in range(case.lmax + 1) for _ in range(2 * k + 1)]
    x = torch.einsum("nrq,rqk->nrk", density, case.mix[degrees])
    x = torch.cat([x[:, :1] + case.bias, x[:, 1:]], 1)
    z = case.species[: case.nodes]
    h = [torch.zeros_like(x[:, 0]) for _ in range(case.outputs)]
    for t, (o, *factors) in enumerate(case.terms.tolist()):
        product = case.coefficients[z, t]
        for row in factors:
            product = product if row < 0 else product * x[:, row]
        h[o] = h[o] + product
    h = torch.stack(h, 1).flatten(1)
    energies = h @ case.linear
    for k in range(0, len(case.layers), 2):
        h = torch.nn.functional.linear(h, case.layers[k], case.layers[k + 1])
        if k + 2 < len(case.layers):
            h = torch.nn.functional.silu(h)
    if case.layers:
        energies = energies + h[:, 0]
    t = (density[:, 0] * case.crowding[z]).sum(1).clamp(max=1.0)
    alone = 1 - t**3 * (10 - 15 * t + 6 * t**2)
    return energies + case.offset[z] - alone * case.vacuum[z]


def energies_and_gradient(function, case, seed=3):
    vectors = case.vectors.detach().requires_grad_()
    energies = function(dataclasses.replace(case, vectors=vectors))
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(len(energies), generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(energies, vectors, factors)
    return energies.detach(), gradient


def fused(case):
    return cluster_energies(*case.arguments())


def mixed_weights(species, channels):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(species, channels, generator=generator, dtype=torch.float64)


CASES = {
    "one element": {},
    "no network": {"hidden": None},
    "a linear network": {"hidden": ()},
    "one hidden layer": {"hidden": (9,), "species": 2},
    "three elements": {"species": 3, "outputs": 1},
    "channels of elements": {"species": 3, "weights": mixed_weights(3, 2), "lmax": 1},
    "many outputs and channels": {"outputs": 7, "channels": 37, "hidden": (33, 18)},
    "vectors exactly": {"outputs": 4, "channels": 32, "hidden": (32, 32), "radial": 8},
    "high degrees": {"lmax": 6, "degree": 4, "outputs": 3},
    "scalars": {"lmax": 0, "degree": 1},
    "first atoms": {"nodes": 17, "species": 2},
    "no edges": {"edges": 0},
    "no atoms": {"nodes": 0},
}


@pytest.mark.parametrize("name", CASES)
def test_energies_and_gradients_are_those_written_out(name):
    inputs = case(**CASES[name])
    found, gradient = energies_and_gradient(fused, inputs)
    expected, other = energies_and_gradient(written_out, inputs)
    assert found.dtype == gradient.dtype == torch.float64
    scale = 1.0 + float(expected.abs().max()) if len(expected) else 1.0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * scale)
    scale = 1.0 + float(other.abs().max()) if len(other) else 1.0
    torch.testing.assert_close(gradient, other, rtol=0, atol=1e-12 * scale)
    assert torch.equal(fused(inputs), found)  # without derivatives


@pytest.mark.parametrize("name", CASES)
def test_single_precision_is_double_precision_rounded(name):
    inputs = case(**CASES[name])
    rounded = to_float32(inputs)
    back = dataclasses.replace(
        inputs,
        layers=[one.double() for one in rounded.layers],
        **{
            field.name: getattr(rounded, field.name).double()
            for field in dataclasses.fields(rounded)
            if isinstance(getattr(rounded, field.name), torch.Tensor)
            and getattr(rounded, field.name).dtype == torch.float32
        },
    )
    found, gradient = energies_and_gradient(fused, rounded)
    expected, other = energies_and_gradient(written_out, back)
    assert found.dtype == gradient.dtype == torch.float64
    for one, two in ((found, expected), (gradient, other)):
        scale = 1.0 + float(two.abs().max()) if two.numel() else 1.0
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6 * scale)


def with_readouts(case, count):
    """The same with several readouts, and each of them alone."""
    alone = []
    for k in range(count):
        generator = torch.Generator().manual_seed(k)
        changes = {
            name: getattr(case, name) + torch.randn(getattr(case, name).shape, generator=generator)
            for name in ("linear", "offset", "vacuum")
        }
        last = [one + torch.randn(one.shape, generator=generator) for one in case.layers[-2:]]
        alone.append(dataclasses.replace(case, layers=[*case.layers[:-2], *last], **changes))
    joined = {
        name: torch.stack([getattr(one, name) for one in alone])
        for name in ("linear", "offset", "vacuum")
    }
    last = [torch.cat([one.layers[k] for one in alone]) for k in (-2, -1)] if case.layers else []
    return dataclasses.replace(case, layers=[*case.layers[:-2], *last], **joined), alone


@pytest.mark.parametrize(
    "name", ["no network", "a linear network", "three elements", "first atoms", "no edges"]
)
def test_several_readouts_are_each_alone(name):
    inputs, alone = with_readouts(case(**CASES[name]), 3)
    vectors = inputs.vectors.requires_grad_()
    energies = fused(inputs)
    assert energies.shape == (3, inputs.nodes) and torch.equal(fused(inputs), energies)
    factors = torch.randn(energies.shape, dtype=torch.float64)
    (together,) = torch.autograd.grad(energies, vectors, factors, retain_graph=True)
    total = torch.zeros_like(together)
    for k, one in enumerate(alone):
        expected = fused(dataclasses.replace(one, vectors=vectors))
        torch.testing.assert_close(energies[k], expected, rtol=0, atol=1e-13)
        (gradient,) = torch.autograd.grad(expected, vectors, factors[k])
        (found,) = torch.autograd.grad(energies[k], vectors, factors[k], retain_graph=True)
        torch.testing.assert_close(found, gradient, rtol=1e-13, atol=1e-13)
        total += gradient
    torch.testing.assert_close(together, total, rtol=1e-12, atol=1e-12)


def test_readouts_that_do_not_fit_are_refused():
    inputs, _ = with_readouts(case(), 3)
    with pytest.raises(RuntimeError, match=r"offset does not fit, expected float64 \[3, 1\]"):
        fused(dataclasses.replace(inputs, offset=inputs.offset[:2]))


def test_gradients_are_differences():
    inputs = case(edges=12, count=4, nodes=4, species=2)
    vectors = inputs.vectors.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: fused(dataclasses.replace(inputs, vectors=v)), vectors, eps=1e-5, atol=1e-7
    )


def test_units_that_are_saturated():
    inputs = case()
    inputs = dataclasses.replace(inputs, layers=[1e3 * one for one in inputs.layers])
    for one, other in zip(
        energies_and_gradient(fused, inputs),
        energies_and_gradient(written_out, inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12 * float(other.abs().max()))


def test_threads_change_no_bit():
    inputs = case(count=700, nodes=700, edges=4000, species=2)

    def results(threads):
        torch.set_num_threads(threads)
        return energies_and_gradient(fused, inputs)

    try:
        one = results(1)
        for threads in (2, 4):
            for a, b in zip(one, results(threads), strict=True):
                assert torch.equal(a, b)
    finally:
        torch.set_num_threads(1)


def test_other_atoms_change_no_bit():
    inputs = case(species=2)
    for nodes in (1, 3, 20):
        part = fused(dataclasses.replace(inputs, nodes=nodes))
        assert torch.equal(part, fused(inputs)[:nodes])


def test_shapes_without_numbers():
    inputs = case()
    meta = dataclasses.replace(
        inputs,
        layers=[one.to("meta") for one in inputs.layers],
        nodes=9,
        **{
            field.name: getattr(inputs, field.name).to("meta")
            for field in dataclasses.fields(inputs)
            if isinstance(getattr(inputs, field.name), torch.Tensor)
        },
    )
    energies, gradient = energies_and_gradient_on_meta(meta)
    assert energies.shape == (9,) and energies.dtype == torch.float64
    assert gradient.shape == inputs.vectors.shape and gradient.dtype == torch.float64


def energies_and_gradient_on_meta(meta):
    vectors = meta.vectors.requires_grad_()
    energies = fused(dataclasses.replace(meta, vectors=vectors))
    return energies, torch.autograd.grad(energies.sum(), vectors)[0]


class Model(torch.nn.Module):
    """The operator as models call it."""

    def __init__(self, inputs):
        super().__init__()
        self.inputs = [one for one in inputs.arguments() if isinstance(one, torch.Tensor)][4:]
        self.layers = inputs.layers
        self.outputs, self.lmax = inputs.outputs, inputs.lmax

    def forward(self, vectors, species, edge_index):
        order = torch.ops.torchml.edge_order(edge_index, species.size(0))
        core, weights, table, mix, bias, coefficients, terms, linear = self.inputs[:8]
        crowding, offset, vacuum = self.inputs[8:]
        return cluster_energies(
            vectors, species, edge_index, order, core, weights, table, mix, bias, coefficients,
            terms, self.outputs, linear, self.layers, crowding, offset, vacuum, CUTOFF, self.lmax,
            species.size(0),
        )  # fmt: skip


class WithGradient(Model):
    def forward(self, vectors, species, edge_index):
        vectors = vectors.detach().requires_grad_()
        energies = super().forward(vectors, species, edge_index)
        (gradient,) = torch.autograd.grad([energies.sum()], [vectors])
        return energies, gradient


def test_traced_with_its_gradient_for_any_number_of_atoms():
    from torch.fx.experimental.proxy_tensor import make_fx

    model = WithGradient(case(species=2))
    small, large = case(species=2, count=7, nodes=7, edges=30), case(species=2)
    graph = make_fx(model, tracing_mode="symbolic", _allow_non_fake_inputs=True)(
        small.vectors, small.species, small.edge_index
    )
    called = {str(node.target) for node in graph.graph.nodes}
    assert "torchml.cluster_energies_with_slopes.default" in called
    assert "torchml.cluster_energies_backward.default" in called
    assert "torchml.density.default" not in called
    inputs = (large.vectors, large.species, large.edge_index)
    for one, other in zip(graph(*inputs), model(*inputs), strict=True):
        assert torch.equal(one, other)


def test_scripted():
    inputs = case()
    scripted = torch.jit.script(cluster_energies)
    found, gradient = energies_and_gradient(lambda one: scripted(*one.arguments()), inputs)
    expected, other = energies_and_gradient(fused, inputs)
    assert torch.equal(found, expected) and torch.equal(gradient, other)


SETS = """
import sys, torch
sys.path[:0] = sys.argv[2:]
from test_cluster import results_of_both_types
torch.save(results_of_both_types(), sys.argv[1])
"""


def results_of_both_types():
    inputs = case(species=2, channels=37, outputs=5, lmax=3)
    return [
        *energies_and_gradient(fused, inputs),
        *(one.float() for one in energies_and_gradient(fused, to_float32(inputs))),
    ]


def test_all_instruction_sets_agree(tmp_path):
    here = pathlib.Path(__file__)
    check_instruction_sets(SETS, tmp_path, str(here.parent), str(here.parents[2]))


def peak_memory():
    """The most memory of this process since the peak was reset, in KiB."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_memory_is_that_of_the_results():
    model = {"channels": 64, "lmax": 3, "radial": 8}
    energies_and_gradient(fused, case(**model))
    inputs = case(**model, count=30_000, nodes=30_000, edges=30_000)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = peak_memory()
    energies_and_gradient(fused, inputs)
    # The channels of all atoms alone would take 30 000 * 16 * 64 * 8 bytes = 240 000 KiB.
    assert peak_memory() - before < 16_000


def test_second_derivatives_are_refused():
    inputs = case()
    vectors = inputs.vectors.requires_grad_()
    energies = fused(dataclasses.replace(inputs, vectors=vectors))
    (first,) = torch.autograd.grad(energies.sum(), vectors, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives do not exist"):
        torch.autograd.grad(first.sum(), vectors)


def test_derivatives_by_parameters_are_refused():
    inputs = case()
    inputs.vectors.requires_grad_()
    inputs.layers[0].requires_grad_()
    energies = fused(inputs)
    torch.autograd.grad(energies.sum(), inputs.vectors, retain_graph=True)
    with pytest.raises(RuntimeError, match="derivatives by parameters do not exist"):
        torch.autograd.grad(energies.sum(), inputs.layers[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"vectors": c.vectors.float()}, r"vectors does not fit, expected float64"),
        (lambda c: {"species": c.species[1:]}, r"species does not fit, expected int64 \[41\]"),
        (lambda c: {"species": c.species + 1}, "atom .* has element 2, expected 0 to 1"),
        (lambda c: {"core": c.core[:1]}, r"core does not fit, expected float64 \[2, 2\]"),
        (lambda c: {"weights": c.weights.float()}, "weights does not fit"),
        (lambda c: {"table": c.table[:4]}, r"the form \[intervals \+ 5, N\]"),
        (lambda c: {"mix": c.mix[1:]}, r"mix does not fit, expected float64 \[3, 6, 5\]"),
        (lambda c: {"bias": c.bias[1:]}, "bias does not fit"),
        (lambda c: {"coefficients": c.coefficients[:, 1:]}, "coefficients does not fit"),
        (lambda c: {"terms": c.terms.long()}, "not an i32 tensor"),
        (lambda c: {"terms": c.terms.repeat(1, 2)}, "a degree from 1 to 4"),
        (lambda c: {"terms": c.terms + 7}, "a term belongs to output 7, expected 0 to 1"),
        (lambda c: {"terms": c.terms - (c.terms == -1).int()}, "has the factor -2"),
        (lambda c: {"lmax": 1, "mix": c.mix[1:]}, "has the factor .*, expected 0 to 3"),
        (lambda c: {"outputs": 1, "linear": c.linear[:5], "layers": []}, "belongs to output 1"),
        (lambda c: {"linear": c.linear[1:]}, "linear does not fit"),
        (lambda c: {"layers": c.layers[1:]}, "expected W and b of each"),
        (lambda c: {"layers": c.layers[:4]}, "the matrix of a layer does not fit"),
        (lambda c: {"crowding": c.crowding[:, 1:]}, "crowding does not fit"),
        (lambda c: {"offset": c.offset.float()}, "offset does not fit"),
        (lambda c: {"vacuum": c.vacuum[1:]}, "vacuum does not fit"),
        (lambda c: {"cutoff": 0.0}, "the cutoff is not positive"),
        (lambda c: {"lmax": 7}, "lmax is 7, expected 0 to 6"),
        (lambda c: {"order": c.order[1:]}, "expected what torchml::edge_order makes"),
        (lambda c: {"nodes": NODES + 1}, "expected at most 41"),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, message):
    inputs = case(species=2)
    with pytest.raises(RuntimeError, match=message):
        fused(dataclasses.replace(inputs, **change(inputs)))
