"""Members that differ in the last layer alone: linear in its weights, with the network's mean."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from helpers.committees import posterior, quartz
from helpers.networks import MAKERS, SPECIES
from torchml import Calculator, Potential
from torchml.contract import metadata
from torchml.data import Configuration
from torchml.data.graph import GraphBuilder
from torchml.errors import TorchMLError
from torchml.importers.opening import cast
from torchml.models import ZBL, Posterior, Scaled, StillingerWeber, Sum, describe, script
from torchml.models.ace_simulation import SimulationACE
from torchml.models.posterior import shifted

LINEAR = ["ACE", "SchNet", "PaiNN", "DimeNetPP", "EGNN", "GCN", "GAANet", "TensorNet"]


def graph_of(model, atoms):
    found = Configuration(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    graph = GraphBuilder(SPECIES, model.cutoff, model.layers, kind="staged")(found)
    return (
        graph.species, graph.edge_vectors, graph.edge_index, graph.node_counts, graph.edge_counts
    )  # fmt: skip


@pytest.mark.parametrize("name", LINEAR)
def test_energies_are_linear_in_the_last_weights(name):
    """Of atoms among others and of one without neighbours."""
    torch.manual_seed(1)
    network = MAKERS[name]().eval()
    lonely = quartz()[:3]
    lonely.pbc = False
    lonely.positions[2] += 30.0
    for atoms in (quartz(), lonely):
        graph = graph_of(network, atoms)
        with torch.no_grad():
            inputs = network.last_inputs(*graph)
            shift = torch.randn(inputs.size(1), dtype=torch.float64)
            moved = shifted(network, shift)(*graph)[: len(atoms)]
            drawn = network.drawn_energies(*graph, torch.stack([shift, -shift], 1))
            change = moved - network(*graph)[: len(atoms)]
        assert len(inputs) == len(atoms) and change.abs().max() > 1e-3
        torch.testing.assert_close(change, inputs @ shift, rtol=0, atol=1e-11)
        both = torch.stack([moved, moved - 2 * change], 1)
        torch.testing.assert_close(drawn, both, rtol=0, atol=1e-11)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """opened(model): the model in the engine, as an export writes it."""
    folder = tmp_path_factory.mktemp("posterior")

    def open_model(model):
        path = folder / f"{len(list(folder.iterdir()))}.pt"
        metadata.save(script(model, "edges"), path, describe(model, "edges"))
        return Potential(path)

    return open_model


@pytest.mark.parametrize("name", ["ACE", "PaiNN"])
def test_the_engine_has_the_members(name, opened):
    """Each is a network with its weights, and their mean is the network itself."""
    model, atoms = posterior(name), quartz()
    potential = opened(model.for_simulation())
    assert isinstance(model.for_simulation().network, SimulationACE) == (name == "ACE")
    assert potential.spec.members == 3
    found = potential.evaluate(atoms, members=True)
    plain = potential.evaluate(atoms)
    assert found.energy == pytest.approx(plain.energy, rel=1e-12)
    np.testing.assert_allclose(found.forces, plain.forces, rtol=0, atol=1e-10)
    assert found.energy == pytest.approx(found.members.energies.mean(), rel=1e-12)
    for k, draw in enumerate(model.network.draws.unbind(1)):
        member = copy.deepcopy(model)
        member.network = shifted(model.network.network, draw)
        alone = opened(Scaled.for_simulation(without_members(member))).evaluate(atoms)
        assert found.members.energies[k] == pytest.approx(alone.energy, rel=1e-12)
        np.testing.assert_allclose(found.members.forces[k], alone.forces, rtol=0, atol=1e-10)
    assert found.members.force_deviations.min() > 0.01


def without_members(scaled):
    alone = Scaled(scaled.network)
    alone.scale.copy_(scaled.scale)
    alone.references.copy_(scaled.references)
    return alone.eval()


def test_members_in_sums_in_float32_and_in_ase(opened):
    """The repulsion is part of all members; deviations in ASE are those of the engine."""
    model, atoms = posterior("ACE"), quartz()
    exact = opened(model.for_simulation()).evaluate(atoms, members=True).members
    single = opened(cast(copy.deepcopy(model), "float32").for_simulation())
    np.testing.assert_allclose(
        single.evaluate(atoms, members=True).members.force_deviations,
        exact.force_deviations,
        rtol=1e-3,
    )
    total = opened(Sum([model.for_simulation(), ZBL(SPECIES, 0.9, 2.2)]))
    atoms.calc = Calculator(total, deviations=True)
    atoms.get_forces()
    np.testing.assert_allclose(
        atoms.calc.results["force_deviations"], exact.force_deviations, rtol=1e-9
    )
    assert atoms.calc.results["energy_std"] == pytest.approx(exact.energy_deviation, rel=1e-9)


@pytest.mark.parametrize(
    ("network", "members", "sentence"),
    [
        (StillingerWeber(), 8, "StillingerWeber has no last, linear layer whose weights"),
        (MAKERS["SchNet"](), 1, "members is 1, expected at least 2"),
    ],
)
def test_bad_arguments(network, members, sentence):
    with pytest.raises(TorchMLError, match=sentence):
        Posterior(network, members)
