"""Networks of NequIP's type: invariant, local, the same as TorchScript and with splines."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms

from helpers.brute_force import graphs
from helpers.nequip_networks import CUTOFF, SPECIES, random_nequip
from helpers.networks import cluster, edges_of, free_energies
from torchml.contract import metadata, param_file
from torchml.export.checks.engine import check_engine, check_numbers
from torchml.export.compression import compress
from torchml.importers.opening import cast
from torchml.models import describe, script


@pytest.fixture(scope="module")
def model():
    return random_nequip()


@pytest.fixture(scope="module")
def structure():
    return torch.tensor(cluster()), torch.arange(20) % 2


def with_slopes(model, x, codes):
    """Energies, and the derivatives of their sum by the edge vectors."""
    index, _ = edges_of(Atoms(positions=x.numpy()), CUTOFF)
    vectors = (x[index[0]] - x[index[1]]).requires_grad_()
    n, e = len(codes), index.size(1)
    energies = model(codes, vectors, index, [n] * (model.layers + 1), [e] * model.layers)
    return energies.detach(), torch.autograd.grad(energies.sum(), vectors)[0]


def test_energies_turn_with_the_frame_but_need_not_be_those_of_the_mirror_image(model, structure):
    x, codes = structure
    expected = free_energies(model, codes, x)
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn = torch.tensor(q * np.linalg.det(q))
    torch.testing.assert_close(free_energies(model, codes, x @ turn), expected, rtol=0, atol=1e-10)
    # Couplings with an odd sum of degrees occur: this network sees which hand a structure has.
    assert (free_energies(model, codes, -x) - expected).abs().max() > 1e-4


def test_prefixes_give_the_energies_of_the_whole_graph(model):
    positions = cluster(110, 10.0, seed=3)
    contributing = np.linalg.norm(positions, axis=1) < 4.0
    found = graphs(positions, contributing, CUTOFF, model.layers)
    assert all(a < b for a, b in itertools.pairwise([*found.node_counts, len(positions)]))
    codes, x = torch.arange(len(positions)) % 2, torch.tensor(positions)
    local = x[found.nodes]
    vectors = local[found.edge_index[0]] - local[found.edge_index[1]]
    prefixes = model(
        codes[found.nodes], vectors, found.edge_index, found.node_counts, found.edge_counts
    )
    whole = free_energies(model, codes, x)[contributing]
    torch.testing.assert_close(prefixes[: len(whole)], whole, rtol=0, atol=1e-10)


def test_torchscript_and_splines_give_the_same(model, structure):
    """TorchScript sums by a table of slots for edges, splines by an operator, torch by scatter."""
    energies, slopes = with_slopes(model, *structure)
    scripted = torch.jit.script(model)
    scripted.layers = model.layers
    compressed = compress(model, 1e-10).model
    for other, limit in ((scripted, 1e-11), (compressed, 1e-7)):
        found = with_slopes(other, *structure)
        torch.testing.assert_close(found[0], energies, rtol=0, atol=limit)
        torch.testing.assert_close(found[1], slopes, rtol=0, atol=limit * float(slopes.abs().max()))


def test_splines_do_not_reach_over_the_onset_of_an_envelope(structure):
    """The second derivative of XPLOR's envelope jumps there: across, no spline is that close."""
    model = random_nequip(envelope="XPLOR")
    made = compress(model, 1e-10)
    assert made.error <= 1e-10
    script(cast(made.model, "float64"), "edges")
    x, codes = structure
    near = torch.tensor([[0.0, 0.0, 0.0], [2.2999, 0.0, 0.0], [0.0, 2.3001, 0.0]]).double()
    for positions, species in ((x, codes), (near, codes[:3])):
        found, expected = (with_slopes(one, positions, species) for one in (made.model, model))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-7 * float(other.abs().max()))


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
    for one in (model, compress(model).model):
        codes = torch.ones(n, dtype=torch.int64)
        found = one(codes, vectors, nothing, [n] * (model.layers + 1), [0] * model.layers)
        assert found.shape == (n,) and torch.isfinite(found).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_archives_pass_the_checks_of_the_export(dtype, tmp_path):
    """Domain decomposition, differences of the energy, lone atoms, the cutoff."""
    network = cast(random_nequip(by_element=False), dtype)
    path, facts = tmp_path / "model.pt", describe(network, "edges")
    metadata.save(script(network, "edges"), path, facts)
    (tmp_path / "model.param").write_text(param_file.render(facts, path.name, 6))
    loaded, potential = check_engine(tmp_path)
    found = [one for one in (loaded, *check_numbers(potential)) if one.verdict != "pass"]
    # The random paths mix parities.
    assert [(one.name, one.verdict) for one in found] == [("symmetries", "warn")]
    assert "does not have: inversion;" in found[0].detail


def test_maps_differ_between_elements(structure):
    x, codes = structure
    same = random_nequip(by_element=False)
    assert len(SPECIES) == 2
    for one in (same, random_nequip()):
        found = free_energies(one, codes, x)
        assert (found - free_energies(one, 1 - codes, x)).abs().min() > 1e-3
