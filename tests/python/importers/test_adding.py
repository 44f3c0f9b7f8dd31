"""Terms that an export adds to a potential."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk

import torchml
from helpers import checkpoints, d3
from helpers.networks import make
from torchml import Potential
from torchml.contract import metadata
from torchml.contract.metadata import ModelMetadata
from torchml.errors import ModelError, TorchMLError
from torchml.importers.adding import added
from torchml.importers.opening import Loaded, load
from torchml.models import D3, ZBL, Scaled, SchNet, describe, script

pytestmark = pytest.mark.usefixtures("quick_probe")
SPECIES = ["Si", "O"]


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """Those of a few elements, without tad-dftd3."""
    monkeypatch.setattr("torchml.models.d3.tables_of", d3.tables_of)
    monkeypatch.setattr("torchml.models.d3.damping_of", d3.damping_of)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A checkpoint, an archive with other elements, and archives that cannot be parts."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    trained = Scaled(SchNet(SPECIES, 3.0, layers=2, features=6, gaussians=5))
    trained.set_normalization({"Si": -3.0, "O": 5.0}, 2.0)
    checkpoints.save(trained, folder / "trained.ckpt")
    other = Scaled(SchNet(["O", "C", "Si"], 4.0, layers=1, features=6, gaussians=5))
    for convention in ("edges", "graph"):
        path = folder / f"other.{convention}.pt"
        metadata.save(script(other, convention), path, describe(other, convention))
    small = SchNet(["Si"], 4.0, layers=1, features=6, gaussians=5)
    metadata.save(script(small, "edges"), folder / "small.pt", describe(small, "edges"))

    class Total(torch.nn.Module):
        """One energy for all."""

        def forward(self, species, edge_vectors, edge_index, contributing):
            # type: (Tensor, Tensor, Tensor, Tensor) -> Tensor
            return edge_vectors.square().sum()

    facts = ModelMetadata(
        convention="edges", species=("Si", "O"), cutoff=3.0, layers=1, dtype="float64"
    )
    metadata.save(torch.jit.script(Total()), folder / "total.pt", facts)
    return folder


@pytest.fixture(scope="module")
def quartz():
    atoms = bulk("Si", "diamond", a=4.6, cubic=True)
    atoms.symbols = ["Si", "O"] * 4
    atoms.rattle(0.15, seed=3)
    return atoms


def test_an_export_adds_repulsion_dispersion_and_a_second_model(models, quartz, tmp_path):
    result = torchml.export_model(
        models / "trained.ckpt",
        add=["zbl:0.9,1.9", "d3:PBE,6", models / "other.edges.pt"],
        output=tmp_path,
    )
    assert result.folder.name.startswith("SchNet_SiO_zbl_d3_other_edges__MO_")
    assert (result.facts.cutoff, result.facts.layers) == (6.0, 2)
    assert all(check.verdict == "pass" for check in result.checks)

    found = Potential(result.folder).evaluate(quartz, part_energies=True)
    network, other = (
        Potential(models / name).evaluate(quartz) for name in ("trained.ckpt", "other.edges.pt")
    )
    parts = found.part_energies
    assert list(parts) == ["model", "zbl", "d3", "other_edges"]
    assert parts["model"] == pytest.approx(network.energy, rel=1e-12)
    assert parts["other_edges"] == pytest.approx(other.energy, rel=1e-12)
    assert parts["zbl"] > 0.1 > -0.1 > parts["d3"]
    assert sum(parts.values()) == pytest.approx(found.energy, rel=1e-12)
    assert np.abs(found.forces - network.forces - other.forces).max() > 0.1


def test_the_network_of_a_sum_is_compressed_at_its_own_cutoff(models, tmp_path):
    result = torchml.export_model(
        models / "trained.ckpt", add=["zbl", "d3:PBE"], compress=True, output=tmp_path
    )
    compressed = [check for check in result.checks if check.name.startswith("compressed")]
    assert [check.name for check in compressed] == ["compressed: model"]
    assert result.facts.cutoff == 15.0


def test_an_archive_is_a_potential_to_which_another_is_added(models, quartz, tmp_path):
    """The elements are those of the first."""
    result = torchml.export_model(
        models / "small.pt", add=str(models / "other.edges.pt"), output=tmp_path
    )
    atoms = quartz.copy()
    atoms.symbols = ["Si"] * 8
    energies = [
        Potential(models / f"{name}.pt").evaluate(atoms) for name in ("small", "other.edges")
    ]
    found = Potential(result.folder).evaluate(atoms)
    assert found.energy == pytest.approx(sum(one.energy for one in energies), rel=1e-12)
    np.testing.assert_allclose(found.forces, sum(one.forces for one in energies), atol=1e-12)
    assert result.facts.species == ("Si",)


def parts(text):
    model = Scaled(SchNet(SPECIES, 3.0, layers=1, features=4, gaussians=4))
    loaded, _ = added(Loaded(Path("a"), "A", model), [text], ModelMetadata())
    return loaded.model.parts[1].model


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("d3:PBE", (15.0, 1.0)),
        ("d3:pbe,12", (12.0, 1.0)),
        ("d3:PBE,cutoff=8,coordination=5,smoothing=0", (8.0, 0.0)),
        ("d3:PBE,smoothing=0.5", (15.0, 0.5)),
    ],
)
def test_options_of_d3(text, expected):
    model = parts(text)
    assert isinstance(model, D3)
    assert (model.cutoff, model.smoothing) == expected
    if "coordination" in text:
        assert model.coordination_cutoff == 5.0


def test_options_of_zbl():
    assert parts("zbl:0.7,1.4").cutoff == 1.4
    assert isinstance(parts("zbl"), ZBL)
    assert parts("zbl").cutoff == pytest.approx(0.7 * 2.22)


@pytest.mark.parametrize(
    ("term", "sentence"),
    [
        ("zbl:1", "'zbl:1' has 1 numbers, expected zbl:inner,outer"),
        ("zbl:1,x", "'x' in 'zbl:1,x' is no number, expected a length in Å"),
        ("zbl:2,1", "expected 0 < inner < outer"),
        ("d3", "'d3' names no functional, expected d3:functional such as d3:PBE"),
        ("d3:PBE,12,8", "'8' in 'd3:PBE,12,8' is not understood, expected cutoff=Å"),
        ("d3:PBE,range=8", "'range=8' in 'd3:PBE,range=8' is not understood"),
        ("d3:PBE,12,cutoff=9", "'cutoff=9' in .* each once"),
        ("lj", "'lj' is nothing that can be added, expected zbl.* d3:.* a file"),
    ],
)
def test_terms_that_are_not_understood_are_errors(term, sentence):
    with pytest.raises(TorchMLError, match=sentence):
        parts(term)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("other.graph.pt", "follows the convention 'graph', expected 'edges'"),
        ("small.pt", "the part 'small' of a sum does not know O, expected .* Si O"),
        ("total.pt", "returns 1 energies for three particles"),
    ],
)
def test_archives_that_cannot_be_parts_are_errors(name, sentence, models):
    with pytest.raises(TorchMLError, match=sentence):
        parts(str(models / name))


def test_a_model_of_descriptors_cannot_be_a_part(tmp_path):
    path = checkpoints.save(Scaled(make("DescriptorPotential")), tmp_path / "descriptors.ckpt")
    with pytest.raises(ModelError, match="does not take edge vectors, expected a model of"):
        added(load(path), ["zbl"], ModelMetadata())
