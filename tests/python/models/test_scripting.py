"""One model, several calling conventions, the same physics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.brute_force import evaluate
from torchml.errors import TorchMLError
from torchml.models import SchNet, StillingerWeber, describe, script


def arguments(module):
    return [one.name for one in module.forward.schema.arguments][1:]


def cluster(n=40, ghosts=28, width=8.0, seed=2):
    """Random positions with the contributing atoms scattered among the ghosts."""
    generator = np.random.default_rng(seed)
    positions = generator.uniform(0, width, (n, 3))
    contributing = np.ones(n, dtype=bool)
    contributing[generator.choice(n, ghosts, replace=False)] = False
    return positions, contributing


@pytest.fixture(scope="module")
def schnet():
    torch.manual_seed(0)
    return SchNet(["Si", "O"], cutoff=3.0, layers=3, features=16, gaussians=8)


def test_forward_has_the_arguments_of_the_convention(schnet):
    one_layer = StillingerWeber()
    assert arguments(script(one_layer, "none")) == [
        "species",
        "coords",
        "n_neigh",
        "nlist",
        "contributing",
    ]
    assert arguments(script(schnet, "graph")) == [
        "species",
        "coords",
        "edge_index0",
        "edge_index1",
        "edge_index2",
        "contributing",
    ]
    assert arguments(script(schnet, "edges")) == [
        "species",
        "edge_vectors",
        "edge_index",
        "contributing",
        "node_counts",
        "edge_counts",
    ]


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_graph_and_edges_agree(layers):
    torch.manual_seed(layers)
    model = SchNet(["Si", "O"], cutoff=2.5, layers=layers, features=16, gaussians=8)
    positions, contributing = cluster()
    codes = torch.arange(len(positions)) % 2
    results = [
        evaluate(script(model, name), name, codes, positions, contributing, model.cutoff, layers)
        for name in ("graph", "edges")
    ]
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-13)


def test_all_conventions_agree_on_stillinger_weber():
    model = StillingerWeber()
    positions, contributing = cluster(n=30, ghosts=18, width=9.0)
    codes = torch.zeros(len(positions), dtype=torch.int64)
    energies, forces = zip(
        *(
            evaluate(script(model, name), name, codes, positions, contributing, model.cutoff, 1)
            for name in ("none", "graph", "edges")
        ),
        strict=True,
    )
    scale = forces[0].abs().max().item()
    assert scale > 1.0
    for k in (1, 2):
        torch.testing.assert_close(energies[0], energies[k], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(forces[0], forces[k], rtol=0, atol=1e-13 * scale)


@pytest.mark.parametrize("convention", ["none", "graph", "edges"])
def test_forces_are_the_derivative_of_the_energy(convention):
    model = StillingerWeber()
    module = script(model, convention)
    positions, contributing = cluster(n=12, ghosts=5, width=5.0)
    codes = torch.zeros(len(positions), dtype=torch.int64)

    def run(x):
        return evaluate(module, convention, codes, x, contributing, model.cutoff, 1)

    _, forces = run(positions)
    step = 1e-5
    for atom, axis in ((0, 0), (5, 1), (11, 2)):
        ends = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[atom, axis] += sign * step
            ends.append(run(moved)[0].sum().item())
        numerical = -(ends[0] - ends[1]) / (2 * step)
        assert forces[atom, axis].item() == pytest.approx(numerical, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("convention", ["graph", "edges"])
def test_lonely_atoms(schnet, convention):
    """One atom, and atoms out of reach of each other, have the energy of the free atom."""
    module = script(schnet, convention)
    single = evaluate(
        module, convention, torch.tensor([1]), np.zeros((1, 3)), np.array([True]), 3.0, 3
    )
    apart = np.arange(3)[:, None] * np.full(3, 10.0)
    several = evaluate(
        module, convention, torch.tensor([1, 1, 1]), apart, np.array([True, False, True]), 3.0, 3
    )
    assert single[0].shape == (1,)
    torch.testing.assert_close(several[0], single[0].expand(2))
    assert not several[1].any()


def test_no_contributing_atom(schnet):
    module = script(schnet, "edges")
    energies, forces = evaluate(
        module,
        "edges",
        torch.zeros(4, dtype=torch.int64),
        cluster(4, 0)[0],
        np.zeros(4, dtype=bool),
        3.0,
        3,
    )
    assert energies.shape == (0,)
    assert not forces.any()


def test_scripting_twice_gives_independent_modules(schnet):
    first, second = script(schnet, "edges"), script(schnet, "graph")
    assert arguments(first) != arguments(second)
    assert arguments(script(schnet, "edges")) == arguments(first)


def test_description_says_what_the_driver_must_know(schnet):
    facts = describe(schnet, "graph")
    assert (facts.stage_edges, facts.layers, facts.cutoff) == ("directed", 3, 3.0)
    assert facts.species == ("Si", "O")
    assert (facts.dtype, facts.species_input, facts.radial) == ("float64", "code", None)
    assert describe(schnet, "edges").radial is True
    assert describe(StillingerWeber(dtype=torch.float32), "edges").dtype == "float32"


def test_impossible_conventions_are_refused(schnet):
    with pytest.raises(TorchMLError, match="one layer, but this model has 3"):
        script(schnet, "none")
    with pytest.raises(TorchMLError, match="SchNet takes edges and not a descriptor, expected"):
        script(schnet, "descriptor")
    with pytest.raises(TorchMLError, match="'edge'; expected 'raw', 'graph', 'edges' or"):
        script(schnet, "edge")


def test_a_graph_model_without_its_metadata_is_slower_but_right(schnet, tmp_path):
    """`torch.jit.save` of a loaded archive drops the metadata: the driver then gives symmetric
    edges, as the original driver does."""
    from torchml._core import Potential

    module = script(schnet, "graph")
    module.save(str(tmp_path / "model.pt"))
    positions, contributing = cluster()
    near = np.linalg.norm(positions[:, None] - positions[None], axis=2) < schnet.cutoff
    np.fill_diagonal(near, False)
    offsets = np.concatenate([[0], near.sum(axis=1).cumsum()])
    particles = (
        (np.arange(len(positions)) % 2).astype(np.int32),
        positions,
        contributing.astype(np.int32),
        offsets,
        np.nonzero(near)[1].astype(np.int32),
    )
    fields = {"convention": "graph", "species": "Si O", "cutoff": "3.0", "layers": "3"}
    results = [
        Potential(str(tmp_path / "model.pt"), {**fields, "edges": edges}).evaluate(*particles)
        for edges in ("symmetric", "directed")
    ]
    assert results[0]["energy"] == pytest.approx(results[1]["energy"], rel=1e-13)
    np.testing.assert_allclose(results[0]["forces"], results[1]["forces"], rtol=0, atol=1e-13)
