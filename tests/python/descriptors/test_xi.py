"""Xi against its definition, golden data and what physics demands."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise, product
from math import factorial, pi, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from scipy.optimize import brentq
from scipy.special import eval_legendre, spherical_jn

from helpers.descriptor_cases import (
    INSTRUCTION_SETS,
    Structure,
    assert_close,
    away_from_cutoffs,
    check_at_cutoff,
    check_edges,
    check_finite_differences,
    check_golden,
    check_invariances,
    check_many_neighbors,
    check_no_neighbors,
    check_threads,
    many_neighbors,
    random_cluster,
    star,
    structures,
    under,
)
from torchml import _descriptors as core

WIDTHS = (1, 3, 9, 23, 51, 103, 196, 348, 590, 960, 1506, 2290, 3393, 4905, 6945, 9651)


@cache
def xi(
    q: int, cutoff: float = 5.0, lists: float | None = None, species: tuple[str, ...] = ("Si",)
) -> Any:
    """lists     cutoff of the neighbour lists, Å; that of the functions unless given"""
    reach = np.full((len(species), len(species)), cutoff if lists is None else lists)
    return core.Descriptor(core.XiParameters(list(species), reach, q=q, cutoff=cutoff))


# The definition, coded from its formulas in another form


@cache
def indices(q: int) -> tuple[tuple[int, ...], ...]:
    """(n0, n1, n2, l0, l1, l2) in the order of the output: all are tried, filtered and sorted."""
    found = []
    for n0, l0 in product(range(q + 1), repeat=2):
        for n1, l1 in product(range(n0 + 1), range(q + 1)):
            for n2, l2 in product(range(n1 + 1), range(q + 1)):
                level, odd = divmod(2 * (n0 + n1 + n2) + l0 + l1 + l2, 2)
                if odd or level > q or 2 * max(l0, l1, l2) > l0 + l1 + l2:
                    continue
                if (n0 == n1 and l0 < l1) or (n1 == n2 and l1 < l2):
                    continue
                found.append((level, n0 + n1 + n2, -n0, -n1, -n2, -l0, -l1, -l2))
    return tuple(tuple(-number for number in row[2:]) for row in sorted(found))


@cache
def bessel_zeros(l: int, count: int) -> np.ndarray:  # noqa: E741
    """Of j_l; they lie between those of j_{l-1}."""
    if l == 0:
        return np.arange(1, count + 1) * pi
    around = bessel_zeros(l - 1, count + 1)
    return np.array(
        [
            brentq(lambda x: spherical_jn(l, x), a, b, xtol=1e-15, rtol=1e-15)
            for a, b in pairwise(around)
        ]
    )


def radial_functions(r: np.ndarray, l: int, count: int, cutoff: float) -> np.ndarray:  # noqa: E741
    """g_nl, n < count: [count, len(r)]"""
    u = bessel_zeros(l, count + 1)
    g = np.zeros((count, len(r)))
    d = 1.0
    for n in range(count):
        a, b = u[n], u[n + 1]
        f = sqrt(2 / (cutoff**3 * (a * a + b * b))) * (
            b / spherical_jn(l + 1, a) * spherical_jn(l, a * r / cutoff)
            - a / spherical_jn(l + 1, b) * spherical_jn(l, b * r / cutoff)
        )
        if n == 0:
            g[0] = f
            continue
        c = u[n - 1]
        d = 1 - c * c * b * b / ((c * c + a * a) * (a * a + b * b)) / d
        g[n] = (f + sqrt(1 - d) * g[n - 1]) / sqrt(d)
    return g


def coupling_at_zero(l0: int, l1: int, l2: int) -> float:
    """<l1 0 l2 0 | l0 0> for even l0 + l1 + l2"""
    h = (l0 + l1 + l2) // 2
    squared = factorial(2 * (h - l0)) * factorial(2 * (h - l1)) * factorial(2 * (h - l2))
    parts = factorial(h - l0) * factorial(h - l1) * factorial(h - l2)
    size = sqrt(squared / factorial(2 * h + 1)) * factorial(h) / parts
    return float((-1) ** (h + l1 - l2) * sqrt(2 * l0 + 1) * size)


def expected_xi(vectors: np.ndarray, q: int, cutoff: float) -> np.ndarray:
    """The invariants without harmonics and Clebsch-Gordan coefficients.

    The densities rho_nl = sum_m c_nlm Y_lm = (2l + 1)/(4 pi) sum_j g_nl(r_j) P_l(cos) are functions
    on the sphere, and the integral of three spherical harmonics is a Clebsch-Gordan coefficient:
        int rho_0 rho_1 rho_2 = sqrt((2 l1 + 1)(2 l2 + 1)/(4 pi (2 l0 + 1))) <l1 0 l2 0|l0 0>
                                sum_{m0 m1} <l1 m1 l2 m2|l0 m0> c*_0 c_1 c_2
    """
    points, weights = np.polynomial.legendre.leggauss(q + 1)
    angles = 2 * pi * np.arange(2 * q + 1) / (2 * q + 1)
    z, phi = (grid.ravel() for grid in np.meshgrid(points, angles, indexing="ij"))
    s = np.sqrt(1 - z * z)
    sphere = np.stack([s * np.cos(phi), s * np.sin(phi), z], axis=1)
    area = np.repeat(weights, len(angles)) * 2 * pi / len(angles)
    r = np.linalg.norm(vectors, axis=1)
    cosine = sphere @ (vectors / r[:, None]).T
    densities = [
        (2 * l + 1)
        / (4 * pi)
        * radial_functions(r, l, q - l + 1, cutoff)
        @ eval_legendre(l, cosine).T
        for l in range(q + 1)  # noqa: E741
    ]
    values = []
    for n0, n1, n2, l0, l1, l2 in indices(q):
        integral = np.sum(area * densities[l0][n0] * densities[l1][n1] * densities[l2][n2])
        size = sqrt((2 * l1 + 1) * (2 * l2 + 1) / (4 * pi * (2 * l0 + 1)))
        sum_of_products = integral / (size * coupling_at_zero(l0, l1, l2))
        values.append((-1) ** l0 / sqrt(2 * l0 + 1) * sum_of_products)
    return np.array(values)


def some_vectors() -> np.ndarray:
    """Up to 4.9 Å long; two lie on the axis of the harmonics, where angles have poles."""
    scattered = np.random.default_rng(3).normal(size=(5, 3))
    scattered *= (np.array([0.3, 1.1, 2.6, 3.7, 4.9]) / np.linalg.norm(scattered, axis=1))[:, None]
    return np.concatenate([scattered, [[0.0, 0.0, 2.0], [0.0, 0.0, -3.1]]])


@pytest.mark.parametrize("instructions", INSTRUCTION_SETS)
def test_golden_data(instructions: str) -> None:
    under(instructions, check_golden, "Xi")


def test_widths() -> None:
    for q, width in enumerate(WIDTHS):
        assert len(indices(q)) == width
        if q <= 6 or q == 15:
            assert xi(q).width == width


@pytest.mark.parametrize("q", [0, 1, 2, 4, 7, 15])
def test_definition(q: int) -> None:
    vectors = some_vectors()
    values = xi(q).compute(*star(vectors, np.zeros(len(vectors))).arguments)[0]
    assert_close(values, expected_xi(vectors, q, 5.0), 1e-12, f"q = {q}")


def test_radial_functions_are_orthonormal() -> None:
    # One neighbour: the invariants of l = 0 are products of three g_n0 / sqrt(4 pi).
    q = 6
    rows = {row: place for place, row in enumerate(indices(q))}
    points, weights = np.polynomial.legendre.leggauss(60)
    r = 2.5 * (points + 1)
    values = np.stack(
        [xi(q).compute(*star(np.array([[0, 0, x]]), np.zeros(1)).arguments)[0] for x in r]
    )
    g = [np.cbrt(values[:, rows[n, n, n, 0, 0, 0]]) * sqrt(4 * pi) for n in range(3)]
    overlaps = [[np.sum(2.5 * weights * r * r * a * b) for a in g] for b in g]
    np.testing.assert_allclose(overlaps, np.eye(3), atol=1e-11)


def test_values_and_two_derivatives_vanish_at_the_cutoff() -> None:
    others = some_vectors()[:4]
    without = xi(4).compute(*star(others, np.zeros(4)).arguments)[0]

    def change(depth: float) -> np.ndarray:
        vectors = np.concatenate([others, [[0.0, 0.6 * (5 - depth), 0.8 * (5 - depth)]]])
        return np.asarray(xi(4).compute(*star(vectors, np.zeros(5)).arguments)[0] - without)

    far, near = change(2e-2), change(1e-2)
    assert np.max(np.abs(near)) > 1e-10 * np.max(np.abs(without))
    large = np.abs(far) > 1e-3 * np.max(np.abs(far))
    np.testing.assert_allclose(far[large] / near[large], 8.0, rtol=0.1)


@pytest.mark.parametrize("q", [0, 1, 3, 6])
def test_finite_differences(q: int) -> None:
    structure = random_cluster(7, 2, seed=q)
    assert away_from_cutoffs(structure, np.array([5.0]))
    check_finite_differences(xi(q, species=("Si", "C")), structure)


def test_finite_differences_on_the_axis() -> None:
    vectors = some_vectors()[1:]
    check_finite_differences(xi(4), star(vectors, np.zeros(len(vectors))))


def test_finite_differences_where_three_cutoffs_differ() -> None:
    reach = np.array([[4.6, 3.9], [3.9, 3.2]])
    descriptor = core.Descriptor(core.XiParameters(["Si", "C"], reach, q=3, cutoff=4.2))
    structure = random_cluster(9, 2, seed=5)
    assert away_from_cutoffs(structure, np.array([3.2, 3.9, 4.6]))
    check_finite_differences(descriptor, structure)


@pytest.mark.parametrize("q", [3, 15])
def test_invariances(q: int) -> None:
    check_invariances(xi(q), random_cluster(9, 1, seed=2))


def test_a_mirror_changes_nothing() -> None:
    structure = random_cluster(12, 1, seed=4)
    mirrored = structure.moved(structure.positions * [1.0, 1.0, -1.0])
    expected = xi(5).compute(*structure.arguments)
    assert_close(xi(5).compute(*mirrored.arguments), expected, 1e-13)


def test_species_do_not_matter() -> None:
    structure = random_cluster(20, 3, seed=6)
    one = replace(structure, species=np.zeros_like(structure.species))
    three = xi(4, species=("H", "C", "O"))
    expected = xi(4).compute(*one.arguments)
    np.testing.assert_array_equal(three.compute(*structure.arguments), expected)


def test_neighbors_beyond_the_functions_count_for_nothing() -> None:
    structure = random_cluster(30, 1, seed=9)
    values = xi(4).compute(*structure.arguments)
    wide = xi(4, lists=7.5)
    np.testing.assert_array_equal(wide.compute(*structure.arguments), values)
    cotangent = np.ones_like(values)
    np.testing.assert_array_equal(
        wide.pull_back(*structure.arguments, cotangent)["positions"],
        xi(4).pull_back(*structure.arguments, cotangent)["positions"],
    )


def test_at_the_cutoff() -> None:
    check_at_cutoff(xi(4))


def test_no_neighbors() -> None:
    assert np.all(check_no_neighbors(xi(4)) == 0.0)


def test_edges_and_jacobian() -> None:
    check_edges(xi(3), random_cluster(21, 1, seed=10))


def test_threads() -> None:
    check_threads(xi(4))


@pytest.mark.parametrize("instructions", INSTRUCTION_SETS)
def test_any_number_of_neighbors(instructions: str) -> None:
    under(instructions, check_many)


def check_many() -> None:
    check_many_neighbors(xi(4))
    vectors = many_neighbors(xi(4)).positions[1:]
    values = xi(4).compute(*star(vectors, np.zeros(300)).arguments)[0]
    assert_close(values, expected_xi(vectors, 4, 5.0), 1e-12)


@settings(max_examples=25, deadline=None)
@given(structures())
def test_any_structure(structure: Structure) -> None:
    assume(away_from_cutoffs(structure, np.array([5.0])))
    descriptor = xi(3, species=("Si", "C"))
    values = descriptor.compute(*structure.arguments)
    for center in structure.centers:
        vectors = np.delete(structure.positions, center, axis=0) - structure.positions[center]
        inside = vectors[np.linalg.norm(vectors, axis=1) < 5.0]
        expected = expected_xi(inside, 3, 5.0)
        scale = max(1.0, float(np.max(np.abs(expected))))
        assert np.max(np.abs(values[center] - expected)) < 1e-12 * scale
    check_finite_differences(descriptor, structure)
    check_invariances(descriptor, structure)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": -1}, "q -1, expected 0 to 15"),
        ({"q": 16}, "q 16, expected 0 to 15"),
        ({"cutoff": 0.0}, "cutoff 0.0"),
        ({"cutoff": -5.0}, "expected a positive number"),
        ({"cutoff": float("inf")}, "expected a positive number"),
        ({"cutoff": float("nan")}, "expected a positive number"),
    ],
)
def test_parameters_without_meaning(changes: dict[str, float], message: str) -> None:
    changed: dict[str, Any] = {"q": 4, "cutoff": 5.0, **changes}
    with pytest.raises(core.Error, match=message):
        core.Descriptor(core.XiParameters(["Si"], np.array([[5.0]]), **changed))
