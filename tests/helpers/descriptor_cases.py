"""Golden cases of descriptors, structures, and the checks that every kind of descriptor passes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy.spatial.transform import Rotation

from torchml import _descriptors as core

FOLDER = Path(__file__).parents[1] / "data" / "descriptors"
INSTRUCTION_SETS = ("baseline", "avx2", "avx512")


@dataclass(frozen=True)
class Structure:
    """Atoms, some with neighbour lists: arguments of Descriptor.compute and pull_back."""

    positions: np.ndarray  # [N, 3], Å
    species: np.ndarray  # [N] codes
    centers: np.ndarray  # [C]
    offsets: np.ndarray  # [C + 1]
    neighbors: np.ndarray  # [E]

    @property
    def arguments(self) -> tuple[np.ndarray, ...]:
        return self.positions, self.species, self.centers, self.offsets, self.neighbors

    @property
    def edges(self) -> tuple[np.ndarray, ...]:
        """The arguments of Descriptor.compute_edges and pull_back_edges."""
        vectors = self.positions[self.neighbors] - self.positions[self.owners]
        return self.species[self.centers], self.offsets, self.species[self.neighbors], vectors

    @property
    def owners(self) -> np.ndarray:
        """[E] the centre of each entry of the lists."""
        return np.repeat(self.centers, np.diff(self.offsets))

    def moved(self, positions: np.ndarray) -> Structure:
        return replace(self, positions=positions)


def cluster(positions: np.ndarray, species: np.ndarray) -> Structure:
    """Every atom is a centre, and its list contains all others at any distance."""
    count = len(species)
    neighbors = [j for i in range(count) for j in range(count) if j != i]
    return Structure(
        np.array(positions, dtype=np.float64).reshape(-1, 3),
        np.array(species, dtype=np.int32),
        np.arange(count, dtype=np.int32),
        np.arange(count + 1, dtype=np.int64) * max(count - 1, 0),
        np.array(neighbors, dtype=np.int32),
    )


def star(vectors: np.ndarray, species: np.ndarray, center_species: int = 0) -> Structure:
    """One centre at the origin and its neighbours."""
    count = len(vectors)
    return Structure(
        np.concatenate([np.zeros((1, 3)), np.reshape(vectors, (-1, 3))]),
        np.concatenate([[center_species], species]).astype(np.int32),
        np.zeros(1, dtype=np.int32),
        np.array([0, count], dtype=np.int64),
        np.arange(1, count + 1, dtype=np.int32),
    )


def random_cluster(
    atoms: int, species: int, seed: int, spacing: float = 2.0, noise: float = 0.5
) -> Structure:
    """Atoms near the points of a cubic lattice, in a ball."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(atoms ** (1 / 3))) + 1
    points = np.stack(np.meshgrid(*[np.arange(side)] * 3), -1).reshape(-1, 3) * spacing
    order = np.argsort(np.linalg.norm(points - points.mean(axis=0), axis=1))[:atoms]
    positions = points[order] + rng.uniform(-noise, noise, (atoms, 3))
    return cluster(positions, rng.integers(0, species, atoms))


@st.composite
def structures(draw: st.DrawFn, species: int = 2, largest: int = 7) -> Structure:
    """Clusters of random atoms, also on lines and planes, at least 0.7 Å apart."""
    coordinates = st.floats(-4.0, 4.0).map(lambda x: round(x, 6))
    count = draw(st.integers(1, largest))
    positions = draw(st_numpy.arrays(np.float64, (count, 3), elements=coordinates))
    kept: list[np.ndarray] = []
    for position in positions:
        if all(np.linalg.norm(position - other) > 0.7 for other in kept):
            kept.append(position)
    codes = draw(st_numpy.arrays(np.int32, len(kept), elements=st.integers(0, species - 1)))
    return cluster(np.array(kept), codes)


def away_from_cutoffs(structure: Structure, cutoffs: np.ndarray, margin: float = 0.02) -> bool:
    """Whether all distances are so far from the cutoffs that differences do not cross them."""
    positions = structure.positions
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    return bool(np.all(np.abs(distances[..., None] - np.ravel(cutoffs)) > margin))


# Golden data


@dataclass(frozen=True)
class Case:
    """A structure with the expected values and vector-Jacobian product."""

    name: str
    meta: dict[str, Any]
    structure: Structure
    image: np.ndarray  # [N] contributing atom that an atom is an image of
    cotangent: np.ndarray  # [C, width]
    desc: np.ndarray  # [C, width] from the definition, if the source is wrong
    grad: np.ndarray  # [N, 3]

    @property
    def kind(self) -> str:
        return str(self.meta["kind"])

    def parameters(self) -> Any:
        return parameters_from_meta(self.meta)

    def descriptor(self) -> Any:
        return core.Descriptor(self.parameters())


def load_case(path: Path) -> Case:
    with np.load(path) as data:
        arrays = {key: data[key] for key in data.files}
    count = len(arrays["num_neigh"])
    intended = "desc_intended" in arrays
    return Case(
        path.stem,
        json.loads(str(arrays["meta"])),
        Structure(
            arrays["coords"],
            arrays["species"].astype(np.int32),
            np.arange(count, dtype=np.int32),
            np.concatenate([[0], np.cumsum(arrays["num_neigh"])]).astype(np.int64),
            arrays["neigh"].astype(np.int32),
        ),
        arrays["image"],
        arrays["cotangent"],
        arrays.get("desc_spec", arrays["desc"]),
        arrays["grad_intended" if intended else "grad"],
    )


@cache
def golden_cases(kind: str, folder: Path = FOLDER) -> tuple[Case, ...]:
    cases = tuple(load_case(path) for path in sorted(folder.glob("*.npz")))
    return tuple(case for case in cases if case.kind == kind)


def parameters_from_meta(meta: dict[str, Any]) -> Any:
    """The parameters of a case as the library takes them."""
    given = dict(meta["hyperparameters"])
    species = meta["species"]
    uniform = np.full((len(species), len(species)), meta["cutoff"])
    cutoffs = np.array(given.pop("rcut", uniform), dtype=np.float64)
    match meta["kind"]:
        case "SymmetryFunctions":
            functions = [
                symmetry_function(name, *row) for name, rows in given["functions"] for row in rows
            ]
            return core.SymmetryFunctionsParameters(species, cutoffs, functions)
        case "Bispectrum":
            for flag in ("switch_flag", "bzero_flag"):
                given[flag] = bool(given[flag])
            return core.BispectrumParameters(species, cutoffs, **given)
        case "SOAP":
            return core.SoapParameters(species, cutoffs, cutoff=meta["cutoff"], **given)
        case "Xi":
            return core.XiParameters(species, cutoffs, cutoff=meta["cutoff"], **given)
    raise ValueError(f"a case is of the kind '{meta['kind']}', expected one of the library")


def symmetry_function(name: str, *row: float) -> Any:
    """A function from a row of a file, such as g2 (eta, shift) or g4 (zeta, lambda, eta)."""
    keys = {
        "g1": (),
        "g2": ("eta", "shift"),
        "g3": ("kappa",),
        "g4": ("zeta", "lambda_", "eta"),
        "g5": ("zeta", "lambda_", "eta"),
    }[name]
    given = dict(zip(keys, map(float, row), strict=False))
    return core.SymmetryFunction(getattr(core.SymmetryFunction.Kind, name), **given)


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str = "") -> None:
    """Compare to `tolerance` times the largest expected number."""
    assert np.shape(found) == np.shape(expected), what
    assert np.all(np.isfinite(found)), what
    scale = np.max(np.abs(expected), initial=0.0)
    error = np.max(np.abs(found - expected), initial=0.0)
    assert error <= tolerance * scale, f"{what}: off by {error:.3g}, the largest is {scale:.3g}"


def check_golden(kind: str, values: float = 1e-12, gradient: float = 1e-12) -> None:
    """All golden cases of a kind; those that come from differences to 1e-8 at best."""
    cases = golden_cases(kind)
    assert cases
    for case in cases:
        descriptor = case.descriptor()
        found = descriptor.compute(*case.structure.arguments)
        assert_close(found, case.desc, values, case.name)
        pulled = descriptor.pull_back(*case.structure.arguments, case.cotangent)
        differences = "differences" in case.meta["source"]
        assert_close(pulled["positions"], case.grad, max(gradient, 1e-8 * differences), case.name)


def under(instructions: str, function: Callable[..., None], *arguments: object) -> None:
    """Call a function of a test module with one instruction set of the kernels.

    It runs in a process of its own, because the choice is made once; arguments pass as JSON. A
    processor that lacks the instructions uses the best that it has.
    """
    script = (
        "import importlib, json, sys; *paths, module, name, arguments = sys.argv[1:]; "
        "sys.path[:0] = paths; "
        "getattr(importlib.import_module(module), name)(*json.loads(arguments))"
    )
    module = Path(function.__code__.co_filename)
    paths = [str(module.parent), str(Path(__file__).parents[1])]  # of the test, of the helpers
    words = [*paths, module.stem, function.__name__, json.dumps(arguments)]
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "TORCHML_DESCRIPTOR_SIMD": instructions},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Checks of any descriptor


def random_cotangent(descriptor: Any, structure: Structure, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(structure.centers), descriptor.width))


def pull_back(descriptor: Any, structure: Structure, cotangent: np.ndarray) -> np.ndarray:
    return descriptor.pull_back(*structure.arguments, cotangent)["positions"]


def check_finite_differences(
    descriptor: Any, structure: Structure, tolerance: float = 1e-8, step: float = 2e-3
) -> None:
    """The product against central differences of eighth order."""
    cotangent = random_cotangent(descriptor, structure)
    found = pull_back(descriptor, structure, cotangent)
    expected = np.zeros_like(found)
    for index in np.ndindex(*found.shape):
        for weight, steps in zip((4 / 5, -1 / 5, 4 / 105, -1 / 280), (1, 2, 3, 4), strict=True):
            for sign in (1, -1):
                positions = structure.positions.copy()
                positions[index] += sign * steps * step
                values = descriptor.compute(*structure.moved(positions).arguments)
                expected[index] += sign * weight / step * np.sum(cotangent * values)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    assert np.all(np.isfinite(found))
    error = np.max(np.abs(found - expected), initial=0.0)
    assert error <= tolerance * scale, f"off by {error:.3g}, the largest is {scale:.3g}"


def check_invariances(
    descriptor: Any, structure: Structure, tolerance: float = 1e-11, seed: int = 0
) -> None:
    """Rotation, translation, and the order of neighbours, of centres and of atoms."""
    rng = np.random.default_rng(seed)
    cotangent = random_cotangent(descriptor, structure)
    values = descriptor.compute(*structure.arguments)
    gradient = pull_back(descriptor, structure, cotangent)
    # Where neighbours cancel, errors have the size of the terms.
    value_scale = max(1.0, float(np.max(np.abs(values), initial=0.0)))
    gradient_scale = max(1.0, float(np.max(np.abs(gradient), initial=0.0)))

    def check(other: Structure, centers: Any, atoms: Any, turn: Any, what: str) -> None:
        new_values = descriptor.compute(*other.arguments)
        new_gradient = pull_back(descriptor, other, cotangent[centers])
        error = np.max(np.abs(new_values - values[centers]), initial=0.0)
        assert error <= tolerance * value_scale, f"{what}: values differ by {error:.3g}"
        error = np.max(np.abs(new_gradient - turn(gradient)[atoms]), initial=0.0)
        assert error <= tolerance * gradient_scale, f"{what}: gradients differ by {error:.3g}"

    same = slice(None)
    turn = Rotation.random(random_state=int(rng.integers(2**31))).apply
    check(structure.moved(turn(structure.positions)), same, same, turn, "rotation")

    moved = structure.moved(structure.positions + np.array([0.3, -0.7, 0.11]))
    check(moved, same, same, np.asarray, "translation")

    lists = np.split(structure.neighbors, structure.offsets[1:-1])
    shuffled = np.concatenate([rng.permutation(part) for part in lists]).astype(np.int32)
    check(replace(structure, neighbors=shuffled), same, same, np.asarray, "order of neighbours")

    order = rng.permutation(len(structure.centers))
    reordered = replace(
        structure,
        centers=structure.centers[order],
        offsets=np.concatenate([[0], np.cumsum(np.diff(structure.offsets)[order])]),
        neighbors=np.concatenate([lists[c] for c in order]),
    )
    check(reordered, order, same, np.asarray, "order of centres")

    atoms = rng.permutation(len(structure.species))
    new_number = np.argsort(atoms).astype(np.int32)
    renumbered = Structure(
        structure.positions[atoms],
        structure.species[atoms],
        new_number[structure.centers],
        structure.offsets,
        new_number[structure.neighbors],
    )
    check(renumbered, same, atoms, np.asarray, "order of atoms")

    assert np.max(np.abs(gradient.sum(axis=0)), initial=0.0) <= tolerance * gradient_scale


def check_edges(descriptor: Any, structure: Structure, tolerance: float = 1e-12) -> None:
    """Products for edges and atoms, and the whole Jacobian, agree."""
    cotangent = random_cotangent(descriptor, structure)
    edges = structure.edges
    values = descriptor.compute(*structure.arguments)
    np.testing.assert_array_equal(descriptor.compute_edges(*edges), values)
    gradient = descriptor.pull_back_edges(*edges, cotangent)
    folded = np.zeros_like(structure.positions)
    np.add.at(folded, structure.neighbors, gradient)
    np.subtract.at(folded, structure.owners, gradient)
    expected = pull_back(descriptor, structure, cotangent)
    assert_close(folded, expected, tolerance, "edges")
    rows = np.repeat(cotangent, np.diff(structure.offsets), axis=0)
    jacobian = descriptor.jacobian_edges(*edges)
    assert_close(np.einsum("ed,edx->ex", rows, jacobian), gradient, 10 * tolerance, "Jacobian")


def check_threads(descriptor: Any, species: int = 1) -> None:
    """The same bits for any number of threads."""
    structure = random_cluster(70, species, seed=8)
    cotangent = random_cotangent(descriptor, structure)
    values = descriptor.compute(*structure.arguments, threads=1)
    gradient = descriptor.pull_back(*structure.arguments, cotangent, virial=True, threads=1)
    for threads in (2, 4):
        again = descriptor.compute(*structure.arguments, threads=threads)
        np.testing.assert_array_equal(again, values)
        other = descriptor.pull_back(*structure.arguments, cotangent, virial=True, threads=threads)
        for key, expected in gradient.items():
            np.testing.assert_array_equal(other[key], expected)


def check_no_neighbors(descriptor: Any) -> np.ndarray:
    """Centres without neighbours, alone or among others; gives the values of such a centre."""
    alone = star(np.empty((0, 3)), np.empty(0, dtype=np.int32))
    values = descriptor.compute(*alone.arguments)
    assert values.shape == (1, descriptor.width)
    assert np.all(np.isfinite(values))
    gradient = pull_back(descriptor, alone, np.ones((1, descriptor.width)))
    np.testing.assert_array_equal(gradient, np.zeros((1, 3)))
    reach = float(np.max(descriptor.parameters.cutoffs))
    pair = 0.5 * reach * np.array([[0.0, 0.0, 0.0], [0.6, 0.0, 0.8]])
    far = cluster(np.concatenate([pair, [[9.0 * reach, 0.0, 0.0]]]), np.zeros(3, dtype=np.int32))
    np.testing.assert_array_equal(descriptor.compute(*far.arguments)[2], values[0])
    gradient = pull_back(descriptor, far, np.ones((3, descriptor.width)))
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(gradient[2], np.zeros(3))
    return np.asarray(values[0])


def check_at_cutoff(descriptor: Any, fades: bool = True, species: tuple[int, int] = (0, 0)) -> None:
    """An atom exactly at the cutoff has no effect; just inside, little effect if functions fade.

    species     of the centre and of the atom
    """
    cutoff = float(descriptor.parameters.cutoffs[species])
    others = 0.4 * cutoff * np.array([[1.0, 0.0, 0.0], [0.0, 0.8, 0.6]])
    codes = np.full(2, species[1])

    def values(distance: float) -> tuple[np.ndarray, np.ndarray]:
        # Along an axis, where the distance is exact.
        both = star(
            np.concatenate([others, [[0.0, 0.0, -distance]]]), [*codes, codes[0]], species[0]
        )
        gradient = pull_back(descriptor, both, np.ones((1, descriptor.width)))
        return descriptor.compute(*both.arguments)[0], gradient

    without = descriptor.compute(*star(others, codes, species[0]).arguments)[0]
    at, gradient = values(cutoff)
    np.testing.assert_array_equal(at, without)
    np.testing.assert_array_equal(gradient[3], np.zeros(3))
    if fades:
        inside, gradient = values(cutoff * (1 - 1e-7))
        scale = max(1.0, float(np.max(np.abs(without))))
        assert np.max(np.abs(inside - without)) < 1e-10 * scale
        assert np.max(np.abs(gradient[3])) < 1e-4 * scale


def many_neighbors(descriptor: Any, count: int = 300, species: int = 1) -> Structure:
    """A centre with any number of neighbours inside the smallest cutoff."""
    rng = np.random.default_rng(21)
    reach = 0.98 * float(np.min(descriptor.parameters.cutoffs))
    vectors = rng.normal(size=(count, 3))
    radii = reach * rng.uniform(0.1, 1.0, count) ** (1 / 3)
    vectors *= (radii / np.linalg.norm(vectors, axis=1))[:, None]
    return star(vectors, rng.integers(0, species, count))


def check_many_neighbors(descriptor: Any, species: int = 1, tolerance: float = 1e-8) -> None:
    """300 neighbours, with differences along one direction of all coordinates."""
    structure = many_neighbors(descriptor, 300, species)
    cotangent = random_cotangent(descriptor, structure)
    gradient = pull_back(descriptor, structure, cotangent)
    assert np.all(np.isfinite(gradient))
    direction = np.random.default_rng(22).normal(size=gradient.shape)
    direction *= 1e-4
    expected = 0.0
    for weight, steps in zip((4 / 5, -1 / 5, 4 / 105, -1 / 280), (1, 2, 3, 4), strict=True):
        for sign in (1, -1):
            positions = structure.positions + sign * steps * direction
            values = descriptor.compute(*structure.moved(positions).arguments)
            expected += sign * weight * np.sum(cotangent * values)
    parts = gradient * direction
    scale = np.sqrt(np.sum(parts**2)) + 1e-4 * np.max(np.abs(values))
    assert abs(np.sum(parts) - expected) < tolerance * scale
