"""Densities of neighbours: the operator against the same sums written out in torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from scipy.spatial.transform import Rotation
from scipy.special import factorial, lpmv
from torch.autograd import grad, gradcheck, gradgradcheck

from torchml.models.density import density

operators = torch.ops.torchml
CUTOFF, INTERVALS, NODES, SPECIES = 3.0, 20, 6, 3


def weights_of(kind, dtype=torch.float64):
    if kind == "one-hot":
        return torch.eye(SPECIES, dtype=dtype)
    generator = torch.Generator().manual_seed(5)
    return torch.randn(SPECIES, 2, generator=generator, dtype=torch.float64).to(dtype)


def table_of(radial, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    table = torch.randn(INTERVALS + 5, radial, generator=generator, dtype=torch.float64)
    table[INTERVALS:] = 0  # zero at the cutoff, with its derivatives
    return table.to(dtype)


def inputs(radial=3, kind="one-hot", edges=60, dtype=torch.float64):
    """Edges between all nodes but the last one, some of them beyond the cutoff or in a core."""
    generator = torch.Generator().manual_seed(7)
    index = torch.randint(0, NODES - 1, (2, edges), generator=generator)
    direction = torch.randn(edges, 3, generator=generator, dtype=torch.float64)
    length = 0.3 + torch.rand(edges, 1, generator=generator, dtype=torch.float64) * CUTOFF
    vectors = direction / direction.norm(dim=1, keepdim=True) * length
    vectors[0] = torch.tensor([0.0, 0.0, CUTOFF])
    species = torch.tensor([0, 2, 1, 0, 2, 1])
    core = torch.tensor([[0.0, 1.1, 1.3], [1.2, 0.9, 1.4], [0.8, 1.0, 0.0]], dtype=torch.float64)
    order = operators.edge_order(index, NODES)
    return [vectors, species, index, order, core, weights_of(kind, dtype), table_of(radial, dtype)]


def harmonics(unit, lmax):
    """[E, lm] by scipy's associated Legendre functions and angles."""
    x, y, z = unit.T
    phi, rows = np.arctan2(y, x), []
    for l in range(lmax + 1):  # noqa: E741
        for m in range(-l, l + 1):
            a = abs(m)
            n = math.sqrt((1 if m == 0 else 2) * factorial(l - a) / factorial(l + a))
            turn = np.sin(a * phi) if m < 0 else np.cos(a * phi)
            rows.append((-1) ** a * n * lpmv(a, l, z) * turn)  # scipy has Condon and Shortley's
    return np.stack(rows, 1)


def step(t):
    """0 at 0, 1 at 1, and flat at both ends to second order."""
    t = np.clip(t, 0, 1)
    return 10 * t**3 - 15 * t**4 + 6 * t**5


def held(r, core):
    """The integral of a step from 0.9 of the core to the core, which it leaves with slope 1."""
    core = np.where(core > 0, core, 1e-300)
    t = np.clip((r - 0.9 * core) / (0.1 * core), 0, 1)
    within = core - 0.1 * core * (0.5 - t**4 * (2.5 - 3 * t + t**2))
    return np.where(r >= core, r, within)


def written_out(vectors, species, index, order, core, weights, table, cutoff, lmax, nodes):
    knots = (np.arange(INTERVALS + 11) - 5) * cutoff / INTERVALS
    spline = BSpline(knots, table.double().numpy(), 5)
    v, (source, target) = vectors.detach().numpy(), index.numpy()
    r = np.sqrt((v**2).sum(1))
    z = species.numpy()
    b = core.numpy()[z[target], z[source]]
    share = step((r - 0.75 * b) / np.where(b > 0, 0.25 * b, 1e-300))
    functions = spline(np.minimum(held(r, b), cutoff - 1e-12)) * share[:, None]
    functions = np.where(r[:, None] < cutoff, functions, 0)
    y = harmonics(v / r[:, None], lmax)
    channels = weights.double().numpy()[z[source]]
    terms = np.einsum("el,ec,en->elcn", y, channels, functions)
    terms = terms.reshape(len(v), (lmax + 1) ** 2, -1)
    result = np.zeros((nodes, *terms.shape[1:]))
    np.add.at(result, target[target < nodes], terms[target < nodes])
    return torch.tensor(result)


def of(arguments, lmax=3, nodes=NODES):
    return density(*arguments, CUTOFF, lmax, nodes)


@pytest.mark.parametrize("lmax", range(7))
@pytest.mark.parametrize("radial", [1, 8, 11])
def test_the_density_is_that_written_out(lmax, radial):
    for kind in ("one-hot", "dense"):
        arguments = inputs(radial, kind)
        for nodes in (NODES, 3):
            expected = written_out(*arguments, CUTOFF, lmax, nodes)
            torch.testing.assert_close(of(arguments, lmax, nodes), expected, rtol=0, atol=1e-11)


def test_harmonics_have_unit_norm_and_the_stated_signs():
    arguments = inputs(1, edges=1)
    arguments[0] = torch.tensor([[0.3, -0.7, 1.1]], dtype=torch.float64)
    arguments[2] = torch.tensor([[1], [0]])
    arguments[3] = operators.edge_order(arguments[2], NODES)
    column = of(arguments, 6)[0][:, 2]  # of the source's species
    y = column / column[0]
    for l in range(7):  # noqa: E741
        assert (y[l * l : (l + 1) ** 2] ** 2).sum().item() == pytest.approx(1)
    unit = arguments[0][0] / arguments[0][0].norm()
    torch.testing.assert_close(y[1:4], unit[[1, 2, 0]])  # y, z, x


@pytest.mark.parametrize("kind", ["one-hot", "dense"])
@pytest.mark.parametrize("lmax", [0, 1, 3, 6])
def test_derivatives_are_differences(kind, lmax):
    arguments = inputs(3, kind, edges=14)
    vectors, rest = arguments[0].requires_grad_(), arguments[1:]

    def function(v):
        return of([v, *rest], lmax, 5)

    assert gradcheck(function, vectors)
    assert gradgradcheck(function, vectors, atol=1e-4)


def test_edges_at_or_beyond_the_cutoff_do_nothing():
    arguments = inputs(4)
    vectors = arguments[0].requires_grad_()
    (gradient,) = grad(of(arguments).square().sum(), vectors)
    beyond = vectors.detach().norm(dim=1) >= CUTOFF
    assert beyond[0] and beyond.sum() > 2
    assert (gradient[beyond] == 0).all() and (gradient[~beyond] != 0).any()
    assert (of(arguments)[NODES - 1] == 0).all()  # no edges


def test_neighbours_below_three_quarters_of_the_core_are_not_there():
    arguments = inputs(4)
    vectors = arguments[0]
    target, source = arguments[1][arguments[2][1]], arguments[1][arguments[2][0]]
    short = vectors.norm(dim=1) <= 0.75 * arguments[4][target, source]
    assert short.any()
    vectors.requires_grad_()
    (gradient,) = grad(of(arguments).square().sum(), vectors)
    assert (gradient[short] == 0).all()
    assert (gradient[~short & (vectors.norm(dim=1) < CUTOFF)] != 0).any(1).all()


def power(result, lmax):
    """Sums of squares over m, which rotations leave alone."""
    return torch.stack(
        [(result[:, l * l : (l + 1) ** 2] ** 2).sum(1) for l in range(lmax + 1)]  # noqa: E741
    )


def test_rotations_leave_powers_alone_and_turn_forces():
    rotation = torch.tensor(Rotation.random(random_state=2).as_matrix())
    improper = -rotation
    arguments = inputs(4)

    def forces(vectors):
        vectors = vectors.detach().requires_grad_()
        powers = power(of([vectors, *arguments[1:]], 6), 6)
        (gradient,) = grad((powers.cos() * torch.arange(1, 8)[:, None, None]).sum(), vectors)
        return powers.detach(), gradient

    powers, gradient = forces(arguments[0])
    for matrix in (rotation, improper):
        turned, turned_gradient = forces(arguments[0] @ matrix.T)
        torch.testing.assert_close(turned, powers, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(turned_gradient, gradient @ matrix.T, rtol=1e-9, atol=1e-9)


def test_float32_is_close_to_float64():
    results = []
    for dtype in (torch.float32, torch.float64):
        arguments = inputs(8, "dense", dtype=dtype)
        vectors = arguments[0].requires_grad_()
        result = of(arguments, 4)
        cotangent = torch.linspace(-1, 1, result.numel(), dtype=torch.float64).view_as(result)
        cotangent = cotangent.to(dtype).requires_grad_()
        (gradient,) = grad(result, vectors, cotangent, create_graph=True)
        (tangent,) = grad((gradient * gradient.detach().cos()).sum(), cotangent)
        assert result.dtype == tangent.dtype == dtype and gradient.dtype == torch.float64
        results.append([result.double(), gradient, tangent.double()])
    for single, double in zip(*results, strict=True):
        assert (single - double).abs().max() < 2e-5 * double.abs().max()


def test_it_can_be_scripted_and_exported():
    class Model(torch.nn.Module):
        def forward(self, vectors, species, edge_index, core, weights, table):
            order = torch.ops.torchml.edge_order(edge_index, species.size(0))
            return density(
                vectors, species, edge_index, order, core, weights, table, 3.0, 2, species.size(0)
            )

    arguments = inputs(4)
    del arguments[3]
    expected = Model()(*arguments)
    assert torch.equal(torch.jit.script(Model())(*arguments), expected)
    edges, nodes = torch.export.Dim("edges"), torch.export.Dim("nodes")
    program = torch.export.export(
        Model(),
        tuple(arguments),
        dynamic_shapes=({0: edges}, {0: nodes}, {1: edges}, None, None, None),
    )
    names = {str(node.target) for node in program.graph.nodes}
    assert "torchml.density.default" in names
    other = inputs(4, edges=41)
    del other[3]
    assert torch.equal(program.module()(*other), Model()(*other))


def test_shapes_are_known_without_numbers():
    arguments = [one.to("meta") for one in inputs(4, "dense")]
    vectors = arguments[0].requires_grad_()
    result = of(arguments, 2)
    assert result.shape == (NODES, 9, 8)
    assert grad(result.sum(), vectors)[0].shape == vectors.shape


def test_bits_do_not_depend_on_the_number_of_threads():
    nodes, edges = 300, 9000
    generator = torch.Generator().manual_seed(1)
    index = torch.randint(0, nodes, (2, edges), generator=generator)
    vectors = torch.randn(edges, 3, generator=generator, dtype=torch.float64)
    species = torch.randint(0, SPECIES, (nodes,), generator=generator)
    rest = [species, index, operators.edge_order(index, nodes), *inputs(8, "dense")[4:], CUTOFF, 3]

    def results(threads):
        torch.set_num_threads(threads)
        result = operators.density(vectors, *rest, nodes)
        gradient = operators.density_backward(result, vectors, *rest)
        return result, gradient, operators.density_tangent(gradient, vectors, *rest, nodes)

    try:
        first = results(1)
        for threads in (2, 4):
            for one, other in zip(first, results(threads), strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(1)


def test_a_wrong_vector_spoils_its_own_node_only():
    arguments = inputs()
    target = arguments[2][1, 7].item()
    arguments[0][7, 1] = math.nan
    result = of(arguments)
    spoiled = result.isnan().flatten(1).any(1)
    assert spoiled[target] and spoiled.sum() == 1


REFUSED = [
    (0, lambda v: v.float(), "vectors are not a table of float64, expected"),
    (0, lambda v: v[:-1], "edge_index does not fit the vectors, expected"),
    (1, lambda s: s.int(), "species are not a vector of i64, expected"),
    (1, lambda s: s + 1, "node 1 has species 3, expected 0 to 2"),
    (1, lambda s: s[:-1], "there are species of 5 nodes, expected 6"),
    (4, lambda c: c[:2], "cores do not fit the weights, expected"),
    (4, lambda c: c + 2, "the core of species 0 and 1 is 3.1.* Å, expected 0 to the cutoff"),
    (4, lambda c: c - 1, "the core of species 0 and 0 is -1.* Å, expected 0 to the cutoff"),
    (5, lambda w: w.float(), "weights do not fit, expected"),
    (6, lambda t: t[:5], r"the table does not have the form \[intervals \+ 5, K\], expected"),
]


@pytest.mark.parametrize(("place", "spoil", "message"), REFUSED)
def test_wrong_inputs_are_refused(place, spoil, message):
    arguments = inputs()
    arguments[place] = spoil(arguments[place])
    with pytest.raises(RuntimeError, match=f"torchml::density: .*{message}"):
        of(arguments)


def test_wrong_numbers_are_refused():
    with pytest.raises(RuntimeError, match="up to degree 7 are asked for, expected 0 to 6"):
        of(inputs(), 7)
    with pytest.raises(RuntimeError, match="at 7 nodes are asked for, expected at most 6"):
        of(inputs(), 2, 7)
    arguments = inputs()
    arguments[3] = operators.edge_order(arguments[2][:, 1:], NODES)
    with pytest.raises(RuntimeError, match="there are 60 vectors, expected 59"):
        of(arguments)
    arguments = inputs()
    arguments[5].requires_grad_()
    with pytest.raises(RuntimeError, match="weights or table require derivatives, expected fixed"):
        of(arguments)
