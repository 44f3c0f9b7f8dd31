"""What every model must be: invariant, differentiable, smooth, local; the same in the driver."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from helpers.brute_force import graphs
from helpers.networks import (
    CUTOFF,
    MAKERS,
    ON_DESCRIPTORS,
    SPECIES,
    cluster,
    edges_of,
    energies,
    free_energies,
    make,
)
from torchml.contract import metadata, param_file
from torchml.export.checks.edge_vectors import check_radial
from torchml.export.checks.engine import check_engine, check_numbers
from torchml.inference.potential import Potential
from torchml.models import describe, script

ALL = pytest.mark.parametrize("name", [*MAKERS, *ON_DESCRIPTORS])
IN_TORCH = pytest.mark.parametrize("name", MAKERS)


def rotation(seed=0):
    """A rotation and an improper one: [3, 3]."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.linalg.det(q)


@pytest.fixture(scope="module")
def structure():
    return torch.tensor(cluster()), torch.arange(20) % 2


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """archives(name, convention): the scripted model with its metadata."""
    folder = tmp_path_factory.mktemp("archives")

    def write(name, convention):
        path = folder / f"{name}.{convention}.pt"
        if not path.exists():
            model = make(name)
            metadata.save(script(model, convention), path, describe(model, convention))
        return path

    return write


@ALL
def test_energies_do_not_depend_on_the_frame(name, structure):
    x, codes = structure
    model = make(name)
    expected = free_energies(model, codes, x)
    turn = torch.tensor(rotation())
    for moved in (x @ turn, x @ -turn, x + torch.tensor([3.0, -2.0, 0.5])):
        torch.testing.assert_close(free_energies(model, codes, moved), expected, rtol=0, atol=1e-11)


@ALL
def test_energies_follow_a_permutation(name, structure):
    x, codes = structure
    model = make(name)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    expected = free_energies(model, codes, x)[order]
    found = free_energies(model, codes[order], x[order])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


@ALL
def test_elements_differ_at_both_ends_of_an_edge(name):
    model = make(name)
    x = torch.tensor([[0.0, 0.0, 0.0], [1.9, 0.0, 0.0]], dtype=torch.float64)
    pairs = ([0, 0], [0, 1], [1, 0], [1, 1])
    first = [free_energies(model, torch.tensor(one), x)[0].item() for one in pairs]
    assert min(abs(a - b) for k, a in enumerate(first) for b in first[:k]) > 1e-4


@ALL
def test_only_one_element_is_enough(name, structure):
    x, codes = structure
    model = make(name)
    zeros = torch.zeros_like(codes)
    assert torch.isfinite(free_energies(model, zeros, x)).all()
    assert torch.isfinite(free_energies(model, zeros + 1, x)).all()


@IN_TORCH
def test_derivatives_are_right(name):
    """First and second: a loss on forces needs the derivative of the gradient."""
    model = make(name)
    x = torch.tensor(cluster(6, 2.8, seed=4), requires_grad=True)
    codes = torch.arange(6) % 2
    edge_index, _ = edges_of(Atoms(positions=x.detach().numpy()), model.cutoff)

    def energy(positions):
        return energies(model, codes, positions, edge_index).sum()

    assert torch.autograd.gradcheck(energy, (x,), atol=1e-6, rtol=1e-4)
    assert torch.autograd.gradgradcheck(energy, (x,), atol=1e-5, rtol=1e-3)


def crystal_point():
    """An atom in the middle of an octahedron: collinear and opposite edges, and no net vector."""
    return torch.tensor(np.vstack([np.zeros(3), 2.0 * np.eye(3), -2.0 * np.eye(3)]))


def chain():
    return torch.arange(4, dtype=torch.float64)[:, None] * torch.tensor([1.4, 0.0, 0.0]).double()


@IN_TORCH
@pytest.mark.parametrize("place", [crystal_point, chain])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_symmetric_surroundings_have_finite_derivatives(name, place, dtype):
    model = make(name, dtype=dtype)
    x = place().to(getattr(torch, dtype)).requires_grad_()
    energy = free_energies(model, torch.zeros(len(x), dtype=torch.int64), x).sum()
    (gradient,) = torch.autograd.grad(energy, x, create_graph=True)
    weights = [one for one in model.parameters() if one.requires_grad]
    trained = torch.autograd.grad(gradient.square().sum(), [x, *weights], allow_unused=True)
    for value in (gradient, *trained):
        assert value is None or torch.isfinite(value).all()
    # By symmetry nothing pulls the atom in the middle of the octahedron.
    if place is crystal_point:
        assert gradient[0].abs().max() < (1e-10 if dtype == "float64" else 1e-3)


@ALL
@pytest.mark.parametrize("crowd", [0, 9])
def test_neighbors_come_and_go_smoothly(name, crowd):
    """A pair just inside the cutoff, with and without its edges: energies differ by the square of
    the gap at most, and derivatives with respect to all edges by the gap."""
    model = make(name)
    generator = np.random.default_rng(5)
    others = generator.normal(size=(crowd, 3))
    others *= generator.uniform(1.3, 2.6, (crowd, 1)) / np.linalg.norm(others, axis=1)[:, None]
    codes = torch.arange(2 + crowd) % 2

    def with_and_without(gap):
        positions = np.vstack([np.zeros(3), [CUTOFF - gap, 0.0, 0.0], others])
        edge_index, _ = edges_of(Atoms(positions=positions), CUTOFF)
        x = torch.tensor(positions)
        between = (edge_index < 2).all(dim=0)
        results = []
        for kept in (edge_index, edge_index[:, ~between]):
            vectors = (x[kept[0]] - x[kept[1]]).requires_grad_()
            n, e = len(codes), kept.size(1)
            energy = model(codes, vectors, kept, [n] * (model.layers + 1), [e] * model.layers).sum()
            slopes = torch.zeros(len(codes), 3, dtype=x.dtype)
            if e:
                (gradient,) = torch.autograd.grad(energy, vectors)
                slopes = slopes.index_add(0, kept[0], gradient)
                slopes = slopes.index_add(0, kept[1], -gradient)
            results.append((energy.item(), slopes))
        (energy, slopes), (bare_energy, bare_slopes) = results
        return abs(energy - bare_energy), (slopes - bare_slopes).abs().max().item()

    far, near, nearest = (with_and_without(gap) for gap in (0.3, 1e-2, 1e-3))
    assert far[0] > 1e-6  # there is something to vanish
    assert nearest[0] < near[0] / 50 + 1e-12
    assert nearest[1] < near[1] / 5 + 1e-12
    assert near[1] < 0.1 * far[1]


@ALL
def test_prefixes_give_the_energies_of_the_whole_graph(name):
    """Each layer works on the atoms and edges that it is needed for, and reaches no further."""
    model = make(name)
    positions = cluster(110, 10.0, seed=3)
    contributing = np.linalg.norm(positions, axis=1) < 4.0
    found = graphs(positions, contributing, CUTOFF, model.layers)
    counts = [*found.node_counts, len(positions)]
    assert all(a < b for a, b in itertools.pairwise(counts))
    codes = torch.arange(len(positions)) % 2
    x = torch.tensor(positions)
    local = x[found.nodes]
    vectors = local[found.edge_index[0]] - local[found.edge_index[1]]
    prefixes = model(
        codes[found.nodes], vectors, found.edge_index, found.node_counts, found.edge_counts
    )
    own = found.node_counts[0]
    whole = free_energies(model, codes, x)[contributing]
    torch.testing.assert_close(prefixes[:own], whole, rtol=0, atol=1e-11)
    assert len(prefixes) == len(found.nodes)
    features = model.node_features(
        codes[found.nodes], vectors, found.edge_index, found.node_counts, found.edge_counts
    )
    assert features.size(0) >= own and features.size(1) == model.width


@ALL
def test_the_whole_influence_distance_is_used(name):
    """A chain of atoms: the first one feels the one that is `layers` hops away, and none behind."""
    model = make(name)
    x = torch.tensor([[2.0 * k, 0.3 * (k % 2), 0.0] for k in range(6)]).double()
    x.requires_grad_()
    first = free_energies(model, torch.zeros(6, dtype=torch.int64), x)[0]
    (gradient,) = torch.autograd.grad(first, x)
    felt = gradient.abs().amax(1)
    assert felt[model.layers] > 1e-12
    assert not felt[model.layers + 1 :].any()


@ALL
@pytest.mark.parametrize("n", [0, 1, 3])
def test_atoms_without_neighbors(name, n):
    model = make(name)
    codes = torch.ones(n, dtype=torch.int64)
    vectors = torch.zeros((0, 3), dtype=torch.float64, requires_grad=True)
    nothing = torch.zeros((2, 0), dtype=torch.int64)
    found = model(codes, vectors, nothing, [n] * (model.layers + 1), [0] * model.layers)
    assert found.shape == (n,)
    assert torch.isfinite(found).all()
    (gradient,) = torch.autograd.grad(found.sum(), vectors, allow_unused=True)
    assert gradient is None or gradient.shape == (0, 3)


@ALL
def test_float32_is_close_to_float64(name, structure):
    x, codes = structure
    double = make(name)
    single = make(name, dtype="float32")
    single.load_state_dict(double.state_dict())
    exact = free_energies(double, codes, x)
    found = free_energies(single, codes, x.float())
    assert found.dtype == (torch.float64 if name == "Scaled" else torch.float32)
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-4)


def cell(kind):
    atoms = bulk("Si", "diamond", 4.6, cubic=kind == "cubic")
    if kind == "cubic":
        atoms.rattle(0.1, seed=1)
    else:
        atoms.positions[1] += [0.1, -0.05, 0.07]
    atoms.symbols[0] = "O"
    return atoms


@IN_TORCH
@pytest.mark.parametrize("convention", ["edges", "graph"])
def test_the_driver_finds_what_minimum_images_give(name, convention, archives):
    """Staged graphs over ghosts, and edges between the atoms of a cell, one of which is smaller
    than the cutoff."""
    model = make(name)
    potential = Potential(archives(name, convention))
    for kind in ("cubic", "primitive"):
        atoms = cell(kind)
        codes = torch.tensor([SPECIES.index(one) for one in atoms.symbols])
        edge_index, shifts = edges_of(atoms, CUTOFF)
        strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        x = torch.tensor(atoms.positions, requires_grad=True)
        turned = x + x @ strain
        energy = energies(model, codes, turned, edge_index, shifts + shifts @ strain).sum()
        gradient, virial = torch.autograd.grad(energy, (x, strain))
        found = potential.evaluate(atoms, virial=True)
        assert found.energy == pytest.approx(energy.item(), abs=1e-10)
        np.testing.assert_allclose(found.forces, -gradient.numpy(), rtol=0, atol=1e-9)
        virial = (0.5 * (virial + virial.T)).numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        np.testing.assert_allclose(found.virial, virial, rtol=0, atol=1e-8)


@IN_TORCH
def test_archives_pass_the_checks_of_the_export(name, archives, tmp_path):
    """Two ranks, derivatives, lone atoms, the cutoff, symmetries; in the driver's engine."""
    path = archives(name, "edges")
    facts = metadata.read(path)
    (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.param").write_text(param_file.render(facts, path.name, 6))
    loaded, potential = check_engine(tmp_path)
    checks = [loaded, *check_numbers(potential)]
    assert len(checks) == 7
    assert [one for one in checks if one.verdict != "pass"] == []
    with metadata.quiet_torchscript():
        check, _ = check_radial(torch.jit.load(path), facts)
    assert check.verdict == "pass"
    assert ("only" in check.detail) == make(name).radial


def test_archives_need_nothing_but_torch(archives):
    others = [name for name in MAKERS if name != "ACE"]  # its density is an operator of ours
    paths = [str(archives(name, one)) for name in others for one in ("edges", "graph")]
    for path in paths:
        with metadata.quiet_torchscript():
            operators = torch.jit.export_opnames(torch.jit.load(path))
        assert {one.split("::")[0] for one in operators} <= {"aten", "prim"}
    program = """
import sys
import torch
for path in sys.argv[1:]:
    torch.jit.load(path)
assert not any(name.startswith("torchml") for name in sys.modules)
"""
    command = [sys.executable, "-W", "ignore", "-c", program, *paths]
    subprocess.run(command, check=True, cwd="/")
