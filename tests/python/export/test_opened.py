"""What opens a checkpoint needs no TorchScript: a compiled archive takes its place."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from torch import Tensor

from helpers import networks
from helpers.checkpoints import save
from helpers.compiled import compiled_schnet, folder_of_all_workers
from helpers.matching import Matching
from helpers.portable import silicon
from helpers.torchscript import refused
from torchml import Calculator, Potential
from torchml.contract import metadata
from torchml.errors import ModelError
from torchml.export import forms
from torchml.export.aoti import compilation
from torchml.export.aoti.packaging import compile_variant
from torchml.export.opened import opened
from torchml.inference.compiled import ENERGY
from torchml.models import Scaled
from torchml.models.staged import StagedModel
from torchml.reference.agreement import difference
from torchml.validation.installing import installed_model
from torchml.validation.kim_client import KimModel


@pytest.fixture
def refusing(tmp_path):
    """A checkpoint of a network that torch.jit.script refuses."""
    return save(Scaled(Matching(["Si"], 4.0)).eval(), tmp_path / "best.ckpt")


@pytest.fixture
def compiled(monkeypatch):
    """compiled: what the compiler gets; it writes nothing."""
    given = []

    def compile_nothing(module, facts, output, **options):
        given.append((module, facts, options["network"], options["device"]))
        Path(output).write_bytes(b"compiled")
        return facts

    monkeypatch.setattr(compilation, "compile_module", compile_nothing)
    return given


def energy_and_force(r):
    """Those of two atoms of the network of `refusing` at a distance r (Å)."""
    gap = 1.0 - (r / 4.0) ** 2
    return 0.3 * gap**3, 0.3 * 3 * gap**2 * 2 * r / 4.0**2


@pytest.fixture
def one_variant(monkeypatch):
    """Compile for one thread, which takes half the time, and use that for several too."""
    made: dict[bool, list[str]] = {}

    def compile_first(program, sample, target, variant, *others):
        alone = variant == ENERGY
        if alone not in made:
            made[alone] = compile_variant(program, sample, target, variant, *others)
        return made[alone]

    monkeypatch.setattr(compilation, "compile_variant", compile_first)


def test_a_network_that_torchscript_refuses_is_compiled_and_runs(refusing, one_variant, caplog):
    """With the numbers of its formula, in copies too."""
    atoms = Atoms("Si2", [[0, 0, 0], [2.5, 0, 0]])
    calculator = Calculator(refusing)
    assert "cannot become TorchScript (Match" in caplog.text
    energy, force = energy_and_force(2.5)
    potential = calculator.potential
    for one in (potential, copy.copy(potential), pickle.loads(pickle.dumps(potential))):
        found = one.evaluate(atoms)
        assert found.energy == pytest.approx(energy, rel=1e-12)
        np.testing.assert_allclose(found.forces, [[-force, 0, 0], [force, 0, 0]], atol=1e-12)
    atoms.calc = calculator
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-12)


def test_without_a_compiler_both_reasons_are_given(refusing, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        ModelError, match=r"cannot become TorchScript \(Match.*, and no C\+\+ compiler was found"
    ):
        Potential(refusing)


def test_the_environment_asks_for_no_torchscript(tmp_path, monkeypatch, compiled):
    """Nothing of torch.jit is called, from the checkpoint to the compiler."""
    best = save(networks.make("Scaled", dtype="float32"), tmp_path / "best.ckpt")
    monkeypatch.setenv(forms.VARIABLE, "aoti")
    with refused(), opened(best, device="cuda:1") as source:
        assert source.archive.suffix == ".pt2"
        assert source.archive.read_bytes() == b"compiled"
    assert not source.archive.exists()
    ((module, facts, network, device),) = compiled
    assert module is None
    assert (facts.convention, facts.dtype, device) == ("edges", "float64", "cuda")
    assert network.species == source.trained.species


class Staged(torch.nn.Module):
    """A network of staged graphs."""

    def forward(
        self, species: Tensor, coords: Tensor, edge_index0: Tensor, contributing: Tensor
    ) -> Tensor:
        return (coords[edge_index0[0]] - coords[edge_index0[1]]).square().sum()


def test_networks_of_staged_graphs_are_torchscript_alone(tmp_path, monkeypatch, compiled):
    best = save(StagedModel(Staged(), ["Si"], 3.0, 1), tmp_path / "best.ckpt")
    monkeypatch.setenv(forms.VARIABLE, "aoti")
    with opened(best) as source:
        assert source.archive.suffix == ".pt"
    assert not compiled


def test_a_compiled_archive_becomes_a_kim_model(tmp_path_factory):
    _, archive = compiled_schnet(folder_of_all_workers(tmp_path_factory), "edges")
    atoms = silicon(2)
    expected = Potential(archive).evaluate(atoms)
    with installed_model(archive) as name:
        found = KimModel(name).evaluate(atoms)
    assert metadata.read(archive).inputs is not None
    assert difference(found.energy, expected.energy, len(atoms)) < 1e-10
    assert difference(found.forces, expected.forces) < 1e-10
