"""The bispectrum against golden data, matrices of rotations coded here, differences, symmetries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.linalg import expm

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
    cluster,
    pull_back,
    random_cluster,
    star,
    structures,
    under,
)
from torchml import _descriptors as core

CUTOFFS = {"Si": np.array([[4.2]]), "SiC": np.array([[4.2, 3.6], [3.6, 3.1]])}
SPECIES = {"Si": ["Si"], "SiC": ["Si", "C"]}
PARAMETER_SETS = [
    {"twojmax": 8},
    {"twojmax": 7, "diagonalstyle": 0, "rfac0": 0.8},
    {"twojmax": 5, "diagonalstyle": 1, "switch_flag": False},
    {"twojmax": 6, "diagonalstyle": 2, "rfac0": 1.0},
    {"twojmax": 4, "rmin0": 0.7, "bzero_flag": True},
    {"twojmax": 1, "weights": [0.3, -1.7]},
    {"twojmax": 0},
]


def bispectrum(mixture: str = "SiC", **given: Any) -> Any:
    if mixture == "Si" and "weights" in given:
        given["weights"] = given["weights"][:1]
    return core.Descriptor(
        core.BispectrumParameters(SPECIES[mixture], CUTOFFS[mixture], **{"twojmax": 4} | given)
    )


# The definition by matrix exponentials, and by coupling with ladder operators


def generators(twoj: int) -> np.ndarray:
    """[3, 2J+1, 2J+1] Jx, Jy, Jz for states from the highest m to the lowest."""
    m = twoj / 2 - np.arange(twoj + 1)
    up = np.diag(np.sqrt(twoj / 2 * (twoj / 2 + 1) - m[1:] * (m[1:] + 1)), 1)
    return np.array([(up + up.T) / 2, (up - up.T) / 2j, np.diag(m)])


def coupling(twoj1: int, twoj2: int, twoj: int) -> np.ndarray:
    """[2J1+1, 2J2+1, 2J+1] states of momentum J among products; the overall sign is arbitrary."""
    first, second = generators(twoj1), generators(twoj2)
    total = [
        np.kron(a, np.eye(twoj2 + 1)) + np.kron(np.eye(twoj1 + 1), b)
        for a, b in zip(first, second, strict=True)
    ]
    raising = (total[0] + 1j * total[1]).real
    wrong_m = total[2].real - twoj / 2 * np.eye(len(raising))
    states = [np.linalg.svd(np.vstack([raising, wrong_m]))[2][-1]]
    for _ in range(twoj):
        lowered = raising.T @ states[-1]
        states.append(lowered / np.linalg.norm(lowered))
    return np.array(states).T.reshape(twoj1 + 1, twoj2 + 1, twoj + 1)


def expected_values(descriptor: Any, structure: Structure) -> np.ndarray:
    p = descriptor.parameters
    weights = p.weights or [1.0] * len(p.species)
    rows = []
    for center, own, end in zip(
        structure.centers, structure.offsets, structure.offsets[1:], strict=False
    ):
        matrices = [np.eye(twoj + 1, dtype=complex) for twoj in range(p.twojmax + 1)]
        for neighbor in structure.neighbors[own:end]:
            d = structure.positions[neighbor] - structure.positions[center]
            r = np.linalg.norm(d)
            cutoff = p.cutoffs[structure.species[center], structure.species[neighbor]]
            if r >= cutoff:
                continue
            x = (r - p.rmin0) / (cutoff - p.rmin0)
            fade = (1 + np.cos(np.pi * max(x, 0))) / 2 if p.switch_flag else 1.0
            for twoj, matrix in enumerate(matrices):
                turn = 2 * p.rfac0 * np.pi * x * d / r
                u = expm(1j * np.tensordot(turn, generators(twoj), 1))
                sign = -1 if x < 0 and twoj % 2 else 1  # the definition jumps at rmin0
                matrix += sign * fade * weights[structure.species[neighbor]] * u
        rows.append(
            [
                invariant(matrices, *triple) - (triple[2] + 1) * p.bzero_flag
                if sum(triple) % 2 == 0
                else 0.0
                for triple in triples(p.twojmax, p.diagonalstyle)
            ]
        )
    return np.array(rows)


def triples(twojmax: int, style: int) -> list[tuple[int, int, int]]:
    if style == 2:
        return [(j, j, j) for j in range(twojmax + 1)]
    momenta = range(twojmax + 1)
    return [
        (j1, j2, j)
        for j1 in momenta
        for j2 in momenta[: j1 + 1]
        for j in momenta
        if abs(j1 - j2) <= j <= j1 + j2
        and (j1 + j2 + j) % 2 == 0
        and (style != 1 or j1 == j2)
        and (style != 3 or j >= j1)
    ]


def invariant(u: list[np.ndarray], j1: int, j2: int, j: int) -> float:
    c = coupling(j1, j2, j)
    z = np.einsum("pqm,rsn,pr,qs->mn", c, c, u[j1], u[j2], optimize=True)
    return float(np.vdot(u[j], z).real)


# Values


@pytest.mark.parametrize("given", PARAMETER_SETS, ids=str)
def test_values_are_those_of_the_definition(given: dict[str, Any]) -> None:
    descriptor = bispectrum(**given)
    structure = random_cluster(6, 2, seed=1, spacing=1.6)
    expected = expected_values(descriptor, structure)
    assert_close(descriptor.compute(*structure.arguments), expected, 1e-12)


def test_large_momenta_keep_their_digits() -> None:
    descriptor = bispectrum("Si", twojmax=14, diagonalstyle=2)
    structure = random_cluster(5, 1, seed=2)
    expected = expected_values(descriptor, structure)
    # The states above lose a digit with every few steps down.
    assert_close(descriptor.compute(*structure.arguments), expected, 1e-12)


@settings(deadline=None, max_examples=30)
@given(structures())
def test_any_structure_has_the_values_of_the_definition(structure: Structure) -> None:
    descriptor = bispectrum(twojmax=3, rmin0=0.9, weights=[1.0, 0.4])
    found = descriptor.compute(*structure.arguments)
    assert_close(found, expected_values(descriptor, structure), 1e-11)


def test_styles_select_from_the_same_values() -> None:
    structure = random_cluster(7, 2, seed=4)
    everything = bispectrum(twojmax=5, diagonalstyle=0).compute(*structure.arguments)
    names = triples(5, 0)
    for style in (1, 3):
        some = bispectrum(twojmax=5, diagonalstyle=style).compute(*structure.arguments)
        columns = [names.index(triple) for triple in triples(5, style)]
        np.testing.assert_array_equal(some, everything[:, columns])
    # The order of the momenta changes nothing but a factor.
    assert_close(
        everything[:, names.index((3, 2, 5))] / 6, everything[:, names.index((5, 2, 3))] / 4, 1e-15
    )


@pytest.mark.parametrize(("twojmax", "style", "width"), [(8, 3, 55), (6, 0, 64), (6, 2, 7)])
def test_width(twojmax: int, style: int, width: int) -> None:
    assert bispectrum(twojmax=twojmax, diagonalstyle=style).width == width


# Derivatives


def smooth_cluster(atoms: int, species: int) -> Structure:
    """One in which differences step over no cutoff."""
    candidates = (random_cluster(atoms, species, seed, spacing=1.9) for seed in range(1000))
    return next(c for c in candidates if away_from_cutoffs(c, CUTOFFS["SiC"]))


@pytest.mark.parametrize("mixture", ["Si", "SiC"])
@pytest.mark.parametrize("given", PARAMETER_SETS, ids=str)
def test_gradients_are_those_of_the_values(given: dict[str, Any], mixture: str) -> None:
    descriptor = bispectrum(mixture, **given)
    check_finite_differences(descriptor, smooth_cluster(6, len(SPECIES[mixture])))


def test_edges_and_jacobian() -> None:
    check_edges(bispectrum(twojmax=5), random_cluster(10, 2, seed=6))


def test_gradients_have_no_torque() -> None:
    structure = random_cluster(9, 2, seed=7)
    descriptor = bispectrum(twojmax=8)
    gradient = pull_back(descriptor, structure, np.ones((9, descriptor.width)))
    torque = np.cross(structure.positions, gradient).sum(axis=0)
    assert np.max(np.abs(torque)) < 1e-11 * np.max(np.abs(gradient))


# Instruction sets


def check_largest_momentum() -> None:
    descriptor = bispectrum("Si", twojmax=30, diagonalstyle=2)
    expected = [31.0 - j if j % 2 == 0 else 0.0 for j in range(30, -1, -1)]
    np.testing.assert_allclose(check_no_neighbors(descriptor), expected, rtol=1e-13)
    check_invariances(descriptor, random_cluster(3, 1, seed=3))


def check_instruction_set() -> None:
    check_golden("Bispectrum")
    check_largest_momentum()
    # As many atoms and neighbours as leave some lanes, and some pairs of neighbours, empty.
    for atoms in (2, 5, 9):
        check_finite_differences(bispectrum(twojmax=3), smooth_cluster(atoms, 2))


@pytest.mark.parametrize("instructions", INSTRUCTION_SETS)
def test_every_instruction_set(instructions: str) -> None:
    under(instructions, check_instruction_set)


# Symmetries and limits


@pytest.mark.parametrize("given", PARAMETER_SETS, ids=str)
def test_invariances(given: dict[str, Any]) -> None:
    check_invariances(bispectrum(**given), random_cluster(12, 2, seed=8))


@settings(deadline=None, max_examples=50)
@given(structures())
def test_invariances_of_any_structure(structure: Structure) -> None:
    check_invariances(bispectrum(twojmax=5), structure)


def test_mirror_images_look_the_same() -> None:
    structure = random_cluster(8, 2, seed=9)
    mirrored = structure.moved(structure.positions * [1.0, 1.0, -1.0])
    descriptor = bispectrum(twojmax=8)
    expected = descriptor.compute(*structure.arguments)
    assert_close(descriptor.compute(*mirrored.arguments), expected, 1e-13)


@pytest.mark.parametrize("bzero", [False, True])
def test_a_lonely_atom(bzero: bool) -> None:
    values = check_no_neighbors(bispectrum(twojmax=4, bzero_flag=bzero))
    expected = [0.0 if bzero else j + 1.0 for _, _, j in triples(4, 3)]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-14)
    # Three equal half-integers do not couple, so there is nothing to subtract either.
    values = check_no_neighbors(bispectrum(twojmax=3, diagonalstyle=2, bzero_flag=bzero))
    expected = [0.0] * 4 if bzero else [1.0, 0.0, 3.0, 0.0]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("pair", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_an_atom_at_the_cutoff(pair: tuple[int, int]) -> None:
    check_at_cutoff(bispectrum(twojmax=8, rfac0=1.0), species=pair)
    check_at_cutoff(bispectrum(twojmax=5, switch_flag=False), fades=False, species=pair)


@pytest.mark.parametrize("rfac0", [0.99363, 1.0])
@pytest.mark.parametrize("rmin0", [0.0, 0.5])
@pytest.mark.parametrize("r", [1e-12, 1e-3, 0.499, 0.5, 0.501, 2.1, 4.2 * (1 - 1e-15)])
def test_no_distance_is_out_of_range(r: float, rmin0: float, rfac0: float) -> None:
    """The matrices of one neighbour are unitary, so invariants of it stay small."""
    descriptor = bispectrum("Si", twojmax=6, rmin0=rmin0, rfac0=rfac0, switch_flag=False)
    structure = star(r * np.array([[0.48, -0.6, 0.64]]), np.zeros(1, dtype=np.int32))
    values = descriptor.compute(*structure.arguments)
    assert np.max(np.abs(values)) <= 8 * 7 * (1 + 1e-12)
    if r != rmin0:
        assert_close(values, expected_values(descriptor, structure), 1e-12)
    gradient = pull_back(descriptor, structure, np.ones((1, descriptor.width)))
    assert np.all(np.isfinite(gradient))
    # A function of the distance alone.
    across = np.cross(gradient[1], [0.48, -0.6, 0.64])
    assert np.max(np.abs(across)) <= 1e-12 * max(100.0, 1.0 / r)


def test_any_number_of_neighbors() -> None:
    check_many_neighbors(bispectrum(twojmax=4), species=2)


def test_number_of_threads() -> None:
    check_threads(bispectrum(twojmax=4), species=2)


def test_weights_and_pair_cutoffs() -> None:
    """A species of weight 0 is not there; a cutoff is that of the two species."""
    structure = random_cluster(9, 2, seed=10)
    descriptor = bispectrum(weights=[1.0, 0.0])
    silicon = np.flatnonzero(structure.species == 0)
    alone = cluster(structure.positions[silicon], np.zeros(len(silicon), dtype=np.int32))
    found = descriptor.compute(*structure.arguments)[silicon]
    assert_close(found, bispectrum("Si").compute(*alone.arguments), 1e-13)
    for pair, cutoff in np.ndenumerate(CUTOFFS["SiC"]):
        single: Any = core.Descriptor(
            core.BispectrumParameters(["Si"], np.array([[cutoff]]), twojmax=4)
        )
        vectors = np.array([[1.0, 0.5, 2.0], [0.0, -1.7, 0.1], [0.1, 3.3, 0.0]])
        found = bispectrum().compute(*star(vectors, np.full(3, pair[1]), pair[0]).arguments)
        expected = single.compute(*star(vectors, np.zeros(3, dtype=np.int32)).arguments)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"twojmax": -1}, "twojmax of the bispectrum is -1, expected 0 to 30"),
        ({"twojmax": 31}, "twojmax of the bispectrum is 31, expected 0 to 30"),
        ({"diagonalstyle": 4}, "diagonalstyle of the bispectrum is 4, expected 0 to 3"),
        ({"rfac0": 0.0}, "rfac0 of the bispectrum is 0.0"),
        ({"rfac0": 1.01}, "rfac0 of the bispectrum is 1.01"),
        ({"rfac0": np.nan}, "rfac0 of the bispectrum is nan"),
        ({"rmin0": -0.1}, "rmin0 of the bispectrum is -0.1"),
        ({"rmin0": 3.1}, "rmin0 of the bispectrum is 3.1.*less than the smallest cutoff, 3.1"),
        ({"rmin0": np.nan}, "rmin0 of the bispectrum is nan"),
        ({"weights": [1.0]}, "has 1 weights, expected one for each of the 2 species"),
        ({"weights": [1.0, np.inf]}, "a weight of the bispectrum is inf"),
    ],
)
def test_parameters_without_meaning(given: dict[str, Any], message: str) -> None:
    with pytest.raises(core.Error, match=message):
        bispectrum(**given)
