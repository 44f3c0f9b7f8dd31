"""The parts of the models against their formulas, written down a second time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.special
import torch
from ase import Atoms

from helpers.networks import cluster, edges_of
from torchml.models import BehlerParrinello, DimeNetPP, PaiNN
from torchml.models.behler_parrinello import SymmetryFunctions
from torchml.models.egnn import Layer
from torchml.models.gaanet import invariants
from torchml.models.gcn import Convolution
from torchml.models.pairs import edge_pairs, edges_into
from torchml.models.radial import (
    Bessel,
    EnvelopedBessel,
    Gaussians,
    cosine_envelope,
    polynomial_envelope,
)
from torchml.models.spherical_basis import SphericalBessel, bessel_zeros, legendre

CUTOFF = 3.0


@pytest.fixture(scope="module")
def graph():
    """Positions [N, 3], edges [2, E], vectors [E, 3] of a cluster."""
    positions = cluster(12, 4.0, seed=1)
    edge_index, _ = edges_of(Atoms(positions=positions), CUTOFF)
    x = torch.tensor(positions)
    return x, edge_index, x[edge_index[0]] - x[edge_index[1]]


@pytest.mark.parametrize(("envelope", "order"), [(cosine_envelope, 1), (polynomial_envelope, 2)])
def test_envelopes_end_with_their_derivatives(envelope, order):
    r = torch.tensor([1e-9, CUTOFF * (1 - 1e-12), CUTOFF, 5.0]).double().requires_grad_()
    value = envelope(r, CUTOFF)
    np.testing.assert_allclose(value.detach().numpy(), [1, 0, 0, 0], atol=1e-12)
    for _ in range(order):
        (value,) = torch.autograd.grad(value.sum(), r, create_graph=True)
        np.testing.assert_allclose(value.detach().numpy(), 0, atol=1e-7)


def test_radial_bases():
    r = np.linspace(0.1, CUTOFF, 7)
    bessel = Bessel(3, CUTOFF)(torch.tensor(r)).numpy()
    for n in (1, 2, 3):
        expected = math.sqrt(2 / CUTOFF) * np.sin(n * math.pi * r / CUTOFF) / r
        np.testing.assert_allclose(bessel[:, n - 1], expected, atol=1e-14)
    gaussians = Gaussians(4, CUTOFF)(torch.tensor(r)).numpy()
    expected = np.exp(-((r[:, None] - np.array([0.0, 1.0, 2.0, 3.0])) ** 2) / 2)
    np.testing.assert_allclose(gaussians, expected, atol=1e-14)


@pytest.mark.parametrize("times_envelope", [True, False])
def test_enveloped_bessel_functions_have_closed_derivatives(times_envelope):
    """TorchScript differentiates the formula."""
    basis = EnvelopedBessel(4, CUTOFF, times_envelope)
    r = torch.tensor([0.3, 1.1, 2.0, CUTOFF * (1 - 1e-9), CUTOFF, 5.0]).double().requires_grad_()
    weights = torch.linspace(-1.0, 2.0, 30, dtype=torch.float64).view(6, 5).requires_grad_()
    results = []
    for function in (basis, torch.jit.script(basis)):
        values = function(r)
        (slope,) = torch.autograd.grad((weights * values).sum(), r, create_graph=True)
        second = torch.autograd.grad(slope.square().sum(), [r, weights])
        results.append([values, slope, *second])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-10)
    inside = r[:3].detach().requires_grad_()
    assert torch.autograd.gradgradcheck(basis, inside)
    (first,) = torch.autograd.grad(basis(inside).sum(), inside, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), inside, create_graph=True)
    with pytest.raises(RuntimeError, match="third derivatives of radial functions"):
        torch.autograd.grad(second.sum(), inside)


def test_zeros_of_bessel_functions():
    # Abramowitz and Stegun, table 10.6.
    zeros = bessel_zeros(3, 2)
    expected = [[3.141593, 6.283185], [4.493409, 7.725252], [5.763459, 9.095011]]
    np.testing.assert_allclose(zeros, expected, atol=5e-7)


@pytest.mark.parametrize(("degrees", "count"), [(1, 1), (4, 3), (7, 6)])
def test_spherical_basis(degrees, count):
    basis = SphericalBessel(degrees, count, CUTOFF)
    r = torch.linspace(0.0, CUTOFF, 400, dtype=torch.float64, requires_grad=True)
    found = basis(r)
    slopes = torch.autograd.functional.jvp(basis, r, torch.ones_like(r))[1]
    x = r.detach().numpy() / CUTOFF
    for degree, zeros in enumerate(bessel_zeros(degrees, count)):
        for n, zero in enumerate(zeros):
            column = degree * count + n
            norm = math.sqrt(2) / abs(scipy.special.spherical_jn(degree + 1, zero))
            values = norm * scipy.special.spherical_jn(degree, zero * x)
            np.testing.assert_allclose(found[:, column].detach(), values, rtol=0, atol=1e-9)
            expected = scipy.special.spherical_jn(degree, zero * x, derivative=True)
            expected = norm * zero / CUTOFF * expected
            np.testing.assert_allclose(slopes[:, column], expected, rtol=0, atol=1e-6)
    # Normalised: the integral of x^2 f^2 over the unit ball's radius is one.
    integrals = np.trapezoid((x**2)[:, None] * found.detach().numpy() ** 2, x, axis=0)
    np.testing.assert_allclose(integrals, 1, atol=1e-3)


def test_spherical_basis_in_single_precision():
    r = torch.linspace(0.05, CUTOFF, 100)
    exact = SphericalBessel(7, 6, CUTOFF)(r.double())
    single = SphericalBessel(7, 6, CUTOFF).float()(r)
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=3e-5)


def test_legendre_functions():
    x = np.linspace(-1, 1, 21)
    found = legendre(torch.tensor(x), 7)
    for degree in range(7):
        norm = math.sqrt((2 * degree + 1) / (4 * math.pi))
        expected = norm * scipy.special.eval_legendre(degree, x)
        np.testing.assert_allclose(found[:, degree], expected, atol=1e-14)


def test_edges_that_meet():
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 6, (15,), generator=generator)
    nodes = torch.tensor([3, 0, 3, 5])
    query, edge = edges_into(nodes, target, 8)
    expected = [(q, e) for q, n in enumerate(nodes) for e, t in enumerate(target) if n == t]
    assert sorted(zip(query.tolist(), edge.tolist(), strict=True)) == expected
    assert query.tolist() == sorted(query.tolist())
    one, other = edge_pairs(target, 8)
    found = sorted(tuple(sorted(pair)) for pair in zip(one.tolist(), other.tolist(), strict=True))
    everything = itertools.combinations(range(15), 2)
    assert found == [(a, b) for a, b in everything if target[a] == target[b]]
    empty = torch.zeros(0, dtype=torch.int64)
    assert edge_pairs(empty, 0)[0].shape == edges_into(empty, target, 8)[1].shape == (0,)


@pytest.mark.parametrize("third_side", [True, False])
def test_symmetry_functions(graph, third_side):
    """Two elements; every function is summed by the loops of its definition."""
    x, edge_index, vectors = graph
    positions, species = x.numpy(), np.arange(12) % 2
    radial = [[0.5, 0.0], [2.0, 1.8]]
    etas, zetas = [0.02, 0.3], [1, 4]
    functions = SymmetryFunctions(2, CUTOFF, radial, etas, zetas, third_side)
    found = functions(torch.tensor(species), vectors, edge_index, 12).numpy()

    def f(r):
        return 0.5 * (math.cos(math.pi * r / CUTOFF) + 1) if r < CUTOFF else 0.0

    for i in range(12):
        near = [j for j in range(12) if j != i and np.linalg.norm(positions[j] - positions[i]) < 3]
        expected = []
        for element in (0, 1):
            for eta, shift in radial:
                total = 0.0
                for j in near:
                    r = np.linalg.norm(positions[j] - positions[i])
                    if species[j] == element:
                        total += math.exp(-eta * (r - shift) ** 2) * f(r)
                expected.append(total)
        for elements in ([0, 0], [0, 1], [1, 1]):
            for eta, zeta, sign in itertools.product(etas, zetas, (-1, 1)):
                total = 0.0
                for j, k in itertools.combinations(near, 2):
                    if sorted([species[j], species[k]]) != elements:
                        continue
                    a, b = positions[j] - positions[i], positions[k] - positions[i]
                    ra, rb, rc = (float(np.linalg.norm(one)) for one in (a, b, a - b))
                    cosine = a @ b / (ra * rb)
                    sides = ra**2 + rb**2 + (rc**2 if third_side else 0.0)
                    term = (1 + sign * cosine) ** zeta * math.exp(-eta * sides) * f(ra) * f(rb)
                    total += 2 ** (1 - zeta) * term * (f(rc) if third_side else 1.0)
                expected.append(total)
        np.testing.assert_allclose(found[i], expected, rtol=1e-12, atol=1e-13)


def test_symmetry_functions_are_of_the_order_of_one():
    """Out of the box in a crystal, and exactly when calibrated."""
    from ase.build import bulk

    atoms = bulk("Si", "diamond", 5.43, cubic=True).repeat(2)
    atoms.rattle(0.1, seed=1)
    model = BehlerParrinello(["Si"], 5.0)
    edge_index, shifts = edges_of(atoms, 5.0)
    x = torch.tensor(atoms.positions)
    vectors = x[edge_index[0]] - x[edge_index[1]] + shifts
    graph = torch.zeros(64, dtype=torch.int64), vectors, edge_index, [64, 64], [len(vectors)]
    assert model.node_features(*graph).abs().max() < 10
    model.calibrate(*graph)
    features = model.node_features(*graph)
    assert features.mean(0).abs().max() < 1e-9
    deviations = features.std(0, correction=0)
    assert deviations.max() < 1 + 1e-9
    assert deviations.median() == pytest.approx(1.0)


def test_painn_is_what_the_paper_says(graph):
    """Equations 7 to 10 atom by atom, neighbour by neighbour; three layers."""
    x, edge_index, vectors = graph
    torch.manual_seed(0)
    model = PaiNN(["Si", "O"], CUTOFF, layers=3, features=5, radial_functions=4)
    species = torch.arange(12) % 2
    n_edges = edge_index.size(1)
    found = model.node_features(species, vectors, edge_index, [12] * 4, [n_edges] * 3)

    def dense(layer, value):
        out = value @ layer.weight.detach().numpy().T
        return out if layer.bias is None else out + layer.bias.detach().numpy()

    def silu(value):
        return value / (1 + np.exp(-value))

    s = model.embedding.weight.detach().numpy()[species]
    v = np.zeros((12, 3, 5))
    for block in model.blocks:
        phi = dense(block.message.source_out, silu(dense(block.message.source_in, s)))
        ds, dv = np.zeros_like(s), np.zeros_like(v)
        for i, j in itertools.permutations(range(12), 2):
            away = (x[j] - x[i]).numpy()
            r = np.linalg.norm(away)
            if r >= CUTOFF:
                continue
            k = np.arange(1, 5)
            bessel = math.sqrt(2 / CUTOFF) * np.sin(k * math.pi * r / CUTOFF) / r
            u = r / CUTOFF
            envelope = 1 - 28 * u**6 + 48 * u**7 - 21 * u**8
            parts = phi[j] * dense(block.message.filter, np.append(bessel, 1.0) * envelope)
            ds[i] += parts[:5]
            dv[i] += parts[5:10] * (away / r)[:, None]
            if len(parts) == 15:
                dv[i] += parts[10:] * v[j]
        s, v = s + ds, v + dv
        left, right = np.split(dense(block.update.mix, v), 2, axis=2)
        norm = np.sqrt((right**2).sum(1) + 1e-2)
        hidden = silu(dense(block.update.gate_in, np.hstack([s, norm])))
        gates = dense(block.update.gate_out, hidden)
        s = s + gates[:, :5] + gates[:, 5:10] * (left * right).sum(1)
        if gates.shape[1] == 15:
            v = v + gates[:, None, 10:] * left
    np.testing.assert_allclose(found.detach().numpy(), s, rtol=0, atol=1e-11)


def test_vectors_of_painn_turn_with_the_frame(graph):
    _, edge_index, vectors = graph
    torch.manual_seed(0)
    blocks = PaiNN(["Si"], CUTOFF, layers=3, features=5, radial_functions=4).blocks
    generator = torch.Generator().manual_seed(1)
    s = torch.randn(12, 5, dtype=torch.float64, generator=generator)
    basis = torch.randn(len(vectors), 5, dtype=torch.float64, generator=generator)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))[0]

    def run(unit):
        scalars, v = s, s.new_zeros(0, 3, 5)
        for block in blocks[:2]:
            scalars, v = block(scalars, v, basis, unit.unsqueeze(2), edge_index, 12)
        return scalars, v

    unit = vectors / vectors.norm(dim=1, keepdim=True)
    (s1, v1), (s2, v2) = run(unit), run(unit @ turn)
    torch.testing.assert_close(s1, s2, rtol=0, atol=1e-11)
    torch.testing.assert_close(torch.einsum("mcf,cd->mdf", v1, turn), v2, rtol=0, atol=1e-11)
    assert v1.abs().max() > 0.1


def test_moves_of_egnn_turn_with_the_frame(graph):
    _, edge_index, vectors = graph
    torch.manual_seed(0)
    layer = Layer(5, 4, attention=True, moves=True).double()
    generator = torch.Generator().manual_seed(1)
    h = torch.randn(12, 5, dtype=torch.float64, generator=generator)
    basis = torch.randn(len(vectors), 4, dtype=torch.float64, generator=generator)
    envelope = torch.rand(len(vectors), 1, dtype=torch.float64, generator=generator)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))[0]
    _, moves = layer(h, basis, vectors, envelope, edge_index, 12)
    _, turned = layer(h, basis, vectors @ turn, envelope, edge_index, 12)
    torch.testing.assert_close(moves @ turn, turned, rtol=0, atol=1e-12)
    assert moves.abs().max() > 1e-4


def test_convolution_of_gcn(graph):
    _, edge_index, vectors = graph
    torch.manual_seed(0)
    layer = Convolution(5, 4).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, 5, dtype=torch.float64, generator=generator)
    basis = torch.randn(len(vectors), 4, dtype=torch.float64, generator=generator)
    norm = torch.rand(7, 1, dtype=torch.float64, generator=generator)
    inside = edge_index[1] < 7
    found = layer(x, basis[inside], norm, edge_index[:, inside])
    for i in range(7):
        total = torch.zeros(5, dtype=torch.float64)
        for e in torch.nonzero(edge_index[1] == i).flatten():
            total += (layer.weight.weight @ basis[e]) * (
                layer.neighbor.weight @ x[edge_index[0, e]]
            )
        inner = layer.own.weight @ x[i] + layer.own.bias + total * norm[i]
        torch.testing.assert_close(found[i], x[i] + inner * torch.sigmoid(inner))


def test_geometric_products():
    """Vectors as Pauli matrices: their product is the geometric one."""
    sigma = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    generator = np.random.default_rng(0)
    p, q = generator.normal(size=(2, 4, 3))
    for one, a, b in zip(invariants(torch.tensor(p), torch.tensor(q)), p, q, strict=True):
        product = np.einsum("c,cij->ij", a, sigma) @ np.einsum("c,cij->ij", b, sigma)
        scalar = np.trace(product) / 2
        bivector = product - scalar * np.eye(2)
        squared = np.trace(bivector @ bivector.conj().T).real / 2
        np.testing.assert_allclose(one, [scalar.real, squared], atol=1e-12)


def test_triplets_of_dimenet(graph):
    """k -> j -> i with k other than i, and the angle at j."""
    x, edge_index, vectors = graph
    model = DimeNetPP(["Si"], CUTOFF, layers=2, spherical_degrees=3, spherical_functions=1)
    r = vectors.norm(dim=1)
    ones = torch.ones(len(r), 1, dtype=torch.float64)
    n = len(r)
    changed, source, sbf = model.triplets(vectors, r, ones, edge_index, 12, [n, n])
    found = set(zip(changed.tolist(), source.tolist(), strict=True))
    expected = {
        (a, b)
        for a in range(n)
        for b in range(n)
        if edge_index[1, b] == edge_index[0, a] and edge_index[0, b] != edge_index[1, a]
    }
    assert found == expected and len(changed) == len(expected) > 100
    radial = model.spherical(r)
    for t in range(0, len(changed), 17):
        j, i = edge_index[:, changed[t]]
        k = edge_index[0, source[t]]
        a, b = (x[i] - x[j]).numpy(), (x[k] - x[j]).numpy()
        cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
        for degree in range(3):
            angular = math.sqrt((2 * degree + 1) / (4 * math.pi))
            angular *= scipy.special.eval_legendre(degree, cosine)
            expected_value = angular * radial[source[t], degree].item()
            assert sbf[t, degree].item() == pytest.approx(expected_value, abs=1e-12)
