"""From the checkpoint of a training to a model that simulators run."""

from __future__ import annotations

import argparse
import importlib
import sys

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms

from helpers import networks
from helpers.checkpoints import save
from helpers.portable import silicon
from helpers.provenance import without_provenance
from torchml import Potential
from torchml.cli import export_main, main
from torchml.contract import metadata
from torchml.errors import TorchMLError
from torchml.export.opened import opened
from torchml.importers.opening import is_checkpoint, kim_name
from torchml.models import Scaled, SchNet, describe, describe_class, script
from torchml.models.staged import StagedModel
from torchml.validation import command

pytestmark = pytest.mark.usefixtures("quick_probe")

FOLDER = "PaiNN_SiO__MO_000000000000_000"


@pytest.fixture
def trained():
    return networks.make("Scaled", dtype="float32")


@pytest.fixture
def best(trained, tmp_path):
    return save(trained, tmp_path / "best.ckpt")


def silica():
    atoms = silicon()
    atoms.symbols[::3] = "O"
    return atoms


def eager(model, atoms):
    codes = torch.tensor([model.species.index(one) for one in atoms.symbols])
    edge_index, shifts = networks.edges_of(atoms, model.cutoff)
    x = torch.tensor(atoms.positions)
    vectors = x[edge_index[0]] - x[edge_index[1]] + shifts
    vectors = vectors.to(next(model.network.parameters()).dtype)
    n, e = len(atoms), edge_index.size(1)
    return model(codes, vectors, edge_index, [n] * (model.layers + 1), [e] * model.layers).sum()


@pytest.mark.parametrize("convention", [None, "graph"])
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_a_checkpoint_needs_no_further_word(trained, best, convention, dtype, tmp_path, capsys):
    words = [str(best), *(["--convention", convention] if convention else [])]
    assert export_main(words + (["--dtype", dtype] if dtype else [])) == 0
    assert f"wrote {FOLDER}" in capsys.readouterr().out
    facts = metadata.read(tmp_path / FOLDER / "model.pt")
    trained.network.to(getattr(torch, dtype or "float64"))
    assert without_provenance(facts) == describe(trained, convention or "edges")
    assert facts.dtype == (dtype or "float64")
    atoms = silica()
    found = Potential(tmp_path / FOLDER).evaluate(atoms)
    # References of a few eV per atom are added in float64: what is left is the network's rounding.
    accuracy = 1e-5 if dtype else 1e-12
    assert found.energy == pytest.approx(eager(trained, atoms).item(), abs=accuracy)


def test_a_checkpoint_is_evaluated_as_it_is(trained, best):
    atoms = silica()
    energy = Potential(best).evaluate(atoms).energy
    assert energy == pytest.approx(eager(trained, atoms).item(), abs=1e-4)


def test_a_users_class_is_found_where_the_command_starts(tmp_path, monkeypatch, capsys):
    source = "from torchml.models import PaiNN\n\nclass Mine(PaiNN):\n    pass\n"
    (tmp_path / "my_potential.py").write_text(source)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    model = importlib.import_module("my_potential").Mine(["Si"], 3.0, layers=1, features=4)
    save(Scaled(model), tmp_path / "best.ckpt")
    monkeypatch.delitem(sys.modules, "my_potential")
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(tmp_path)])
    assert main(["export", "best.ckpt"]) == 0
    assert (tmp_path / "Mine_Si__MO_000000000000_000" / "model.pt").exists()


def test_what_is_said_of_a_checkpoint_must_be_true(best, capsys):
    assert export_main([str(best), "--cutoff", "4.0"]) == 1
    shown = capsys.readouterr().err
    assert (
        "'cutoff' is '3.0' in the metadata of" in shown
        and "best.ckpt but '4.0' in the caller" in shown
    )


def test_names():
    assert kim_name("best-v2 (final)") == "best_v2_final"
    assert kim_name("2024__run") == "Model_2024_run"
    assert kim_name("...") == "Model"


def test_an_archive_is_named_after_its_file(tmp_path, capsys):
    model = SchNet(["Si"], 3.0, layers=1, features=4, gaussians=4)
    metadata.save(script(model, "edges"), tmp_path / "my-model.pt", describe(model, "edges"))
    assert export_main(["my-model.pt"]) == 0
    assert (tmp_path / "my_model__MO_000000000000_000" / "model.pt").exists()


def test_checkpoints_are_told_from_archives(best, trained, tmp_path):
    archive = tmp_path / "scripted.pt"
    metadata.save(script(trained, "edges"), archive, describe(trained, "edges"))
    renamed = best.rename(tmp_path / "best.pt")
    assert is_checkpoint(renamed)
    assert not is_checkpoint(archive)
    assert is_checkpoint(tmp_path / "not_there.ckpt")
    assert not is_checkpoint(tmp_path / "not_there.pt")
    with opened(renamed) as source:
        assert isinstance(source.trained, Scaled)
        assert source.archive.exists()
        assert describe_class(source.trained.network) == describe_class(trained.network)
    assert not source.archive.exists()


def test_a_broken_checkpoint_is_one_sentence(best, capsys, tmp_path):
    content = best.read_bytes()
    best.write_bytes(content[: len(content) // 2])
    for run in (
        lambda: export_main([str(best)]),
        lambda: export_main([str(tmp_path / "none.ckpt")]),
    ):
        assert run() == 1
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1 and ".ckpt" in shown
    with pytest.raises(TorchMLError, match=r"best\.ckpt"):
        validate(best)
    assert not (tmp_path / FOLDER).exists()


class Pairs(torch.nn.Module):
    """What users of KLIFF have: a network that takes staged graphs."""

    def __init__(self):
        super().__init__()
        self.strength = torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(
        self, species: torch.Tensor, coords: torch.Tensor, edge_index0: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        away = coords[edge_index0[0]] - coords[edge_index0[1]]
        gap = (3.0 - away.square().sum(1).sqrt()).clamp(min=0.0)
        energies = torch.zeros_like(coords[:, 0])
        energies = energies.index_add(0, edge_index0[1], self.strength * gap.square() * gap)
        return (energies * (contributing == 0)).sum()


def test_a_network_of_staged_graphs(tmp_path, capsys):
    path = save(StagedModel(Pairs(), ["Si"], 3.0, 1), tmp_path / "best.ckpt")
    assert export_main([str(path), "--convention", "edges"]) == 1
    assert "takes staged graphs" in capsys.readouterr().err
    assert export_main([str(path)]) == 0
    folder = tmp_path / "Pairs_Si__MO_000000000000_000"
    facts = metadata.read(folder / "model.pt")
    assert (facts.convention, facts.stage_edges, facts.dtype) == ("graph", "symmetric", "float64")
    atoms = Atoms("Si2", [[0, 0, 0], [2.0, 0, 0]])
    assert Potential(folder).evaluate(atoms).energy == pytest.approx(0.6)


def validate(path, *words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(path), "--quick", *words]))


def test_validation_of_a_checkpoint_asks_the_eager_model_too(best, capsys, tmp_path):
    ase.io.write(tmp_path / "one.extxyz", silica())
    words = ["--structures", str(tmp_path / "one.extxyz")]
    assert validate(best, *words) == 0
    shown = capsys.readouterr().out
    for row in (
        "eager: energy",
        "eager: forces",
        "eager: virial",
        "TorchScript: energy",
        "KIM: forces",
    ):
        assert row in shown
    assert "FAIL" not in shown


def test_eager_forces_are_compared(trained, tmp_path):
    """Not only the energy: a detached part of the energy shows in the forces."""
    from torchml.reference.model import EagerModel

    path = tmp_path / "model.pt"
    metadata.save(script(trained, "edges"), path, describe(trained, "edges"))
    potential = Potential(path)
    atoms = silica()
    wanted = potential.evaluate(atoms, virial=True)
    found = EagerModel(trained, potential.spec).evaluate(atoms)
    np.testing.assert_allclose(found.forces, wanted.forces, atol=1e-4)
    trained.network.embedding.weight.data += 0.1
    other = EagerModel(trained, potential.spec).evaluate(atoms)
    assert np.abs(other.forces - wanted.forces).max() > 1e-3
