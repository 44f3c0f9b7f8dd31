"""Allegro, and cutoffs by pair and repulsion of networks of NequIP's type."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import atomic_numbers

from helpers.allegro_networks import random_allegro
from helpers.nequip_networks import CUTOFF, SPECIES, plan
from helpers.networks import cluster, edges_of, free_energies
from torchml.contract import metadata, param_file
from torchml.export.checks.engine import check_engine, check_numbers
from torchml.importers.networks.nequip import build
from torchml.importers.opening import cast
from torchml.importers.reading.plan import part
from torchml.models import describe, script


@pytest.fixture(scope="module")
def model():
    return random_allegro()


@pytest.fixture(scope="module")
def structure():
    return torch.tensor(cluster()), torch.arange(20) % 2


def random_nequip(**options):
    """The NequIP of the other tests, with further arguments."""
    content = plan(layers=2)
    content["network"]["named"] |= options
    return build(content)


def energies_of(model, codes, vectors, index):
    n, e = len(codes), index.size(1)
    return model(codes, vectors, index, [n] * (model.layers + 1), [e] * model.layers)


def with_slopes(model, x, codes):
    """Energies, and the derivatives of their sum by the edge vectors."""
    index, _ = edges_of(Atoms(positions=x.numpy()), CUTOFF)
    vectors = (x[index[0]] - x[index[1]]).requires_grad_()
    energies = energies_of(model, codes, vectors, index)
    return energies.detach(), torch.autograd.grad(energies.sum(), vectors)[0]


def test_energies_turn_with_the_frame(model, structure):
    x, codes = structure
    expected = free_energies(model, codes, x)
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    torch.testing.assert_close(
        free_energies(model, codes, x @ torch.tensor(q)), expected, rtol=0, atol=1e-10
    )
    assert (expected - free_energies(model, 1 - codes, x)).abs().min() > 1e-3


def test_energies_are_local(model, structure):
    """Only the edges into an atom matter to it."""
    x, codes = structure
    index, _ = edges_of(Atoms(positions=x.numpy()), CUTOFF)
    into = index[:, index[1] < 5]
    vectors = x[into[0]] - x[into[1]]
    found = model(codes, vectors, into, [5, len(codes)], [into.size(1)])
    torch.testing.assert_close(found[:5], free_energies(model, codes, x)[:5], rtol=0, atol=1e-12)


def test_torchscript_gives_the_same(model, structure):
    """TorchScript multiplies by a table of slots for edges, torch edge by edge."""
    energies, slopes = with_slopes(model, *structure)
    scripted = torch.jit.script(model)
    scripted.layers = 1
    found = with_slopes(scripted, *structure)
    torch.testing.assert_close(found[0], energies, rtol=0, atol=1e-11)
    torch.testing.assert_close(found[1], slopes, rtol=0, atol=1e-11 * float(slopes.abs().max()))


def test_derivatives_are_right(model):
    x = torch.tensor(cluster(6, 2.8, seed=4), requires_grad=True)
    codes = torch.arange(6) % 2
    assert torch.autograd.gradcheck(
        lambda y: free_energies(model, codes, y).sum(), (x,), atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize("n", [0, 1, 3])
def test_atoms_without_neighbors(model, n):
    vectors = torch.zeros((0, 3), dtype=torch.float64)
    nothing = torch.zeros((2, 0), dtype=torch.int64)
    for one in (model, torch.jit.script(model)):
        found = one(torch.ones(n, dtype=torch.int64), vectors, nothing, [n, n], [0])
        assert found.shape == (n,) and torch.allclose(found, torch.tensor(5.0).double())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_archives_pass_the_checks_of_the_export(dtype, tmp_path):
    """Domain decomposition, differences of the energy, lone atoms, the cutoff."""
    network = cast(random_allegro(), dtype)
    path, facts = tmp_path / "model.pt", describe(network, "edges")
    metadata.save(script(network, "edges"), path, facts)
    (tmp_path / "model.param").write_text(param_file.render(facts, path.name, 6))
    loaded, potential = check_engine(tmp_path)
    checks = [loaded, *check_numbers(potential)]
    assert [one for one in checks if one.verdict != "pass"] == []


@pytest.mark.parametrize("make", [random_allegro, random_nequip])
def test_cutoffs_by_pair_stretch_the_distances(make, structure):
    """The centre is the row: edges from O to Si, and only these, are stretched."""
    x, codes = structure
    stretches = torch.tensor([[1.0, 1.25], [1.0, 1.0]], dtype=torch.float64)
    index, _ = edges_of(Atoms(positions=x.numpy()), CUTOFF)
    vectors = x[index[0]] - x[index[1]]
    longer = (codes[index[1]] == 0) & (codes[index[0]] == 1)
    assert 0 < int(longer.sum()) < len(longer)
    factors = torch.where(longer, 1.25, 1.0).double().unsqueeze(1)
    model, plain = make(stretches=stretches), make()
    found = energies_of(model, codes, vectors, index)
    expected = energies_of(plain, codes, vectors * factors, index)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert (found - energies_of(plain, codes, vectors, index)).abs().max() > 1e-3
    # Beyond its own cutoff an edge changes nothing.
    near = (vectors * factors).norm(dim=1) < CUTOFF
    fewer = energies_of(model, codes, vectors[near], index[:, near])
    torch.testing.assert_close(found, fewer, rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", [random_allegro, random_nequip])
def test_repulsion_of_nuclei(make):
    """Ziegler, Biersack and Littmark, with the constants of LAMMPS."""
    charges = np.array([atomic_numbers[one] for one in SPECIES], dtype=float)
    pairs = [(0.02817, 0.20162), (0.28022, 0.40290), (0.50986, 0.94229), (0.18175, 3.19980)]
    repulsion = part(
        "ScreenedRepulsion",
        charges=torch.tensor(charges * (0.5 * 14.399645) ** 0.5),
        screening=torch.tensor(charges**0.23 / 0.46850),
        weights=[weight for weight, _ in pairs],
        decays=[decay for _, decay in pairs],
        envelope=part("PolynomialEnvelope", p=6, cutoff=CUTOFF),
    )
    r = 0.7
    vectors = torch.tensor([[0.0, 0.0, r], [0.0, 0.0, -r]], dtype=torch.float64)
    codes, index = torch.tensor([0, 1]), torch.tensor([[1, 0], [0, 1]])
    found = energies_of(make(repulsion=repulsion), codes, vectors, index) - energies_of(
        make(), codes, vectors, index
    )
    x = r * (charges**0.23).sum() / 0.46850
    screening = sum(weight * np.exp(-decay * x) for weight, decay in pairs)
    y = r / CUTOFF
    half = 0.5 * 14.399645 * charges.prod() / r * screening
    half *= 1 - 28 * y**6 + 48 * y**7 - 21 * y**8
    torch.testing.assert_close(found, torch.full((2,), half, dtype=torch.float64))
