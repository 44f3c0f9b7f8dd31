"""CHGNets give chgnet's own energies, forces and stresses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.kim import KIM

import torchml.importers
from helpers import portable
from helpers.networks import edges_of, energies
from helpers.portable import relative
from torchml import Calculator, Potential, kim
from torchml.contract import metadata, param_file
from torchml.importers.imported import imported
from torchml.importers.networks.chgnet import build
from torchml.models import describe, script
from torchml.validation.lammps import evaluate_with_lammps

VARIANTS = [
    "layer norms",
    "norms of convolutions",
    "batch norms",
    "no norms",
    "no updates of angles",
    "no bonds",
    "one layer",
]
SPECIES = ["Mg", "O", "H", "Si"]
STRUCTURES = ["pair", "slab", "molecule", "sparse"]


@pytest.fixture(scope="module")
def own(peers_python, tmp_path_factory):
    """What chgnet's modules, in float64, make of random models."""
    folder = tmp_path_factory.mktemp("chgnet")
    script = Path(__file__).with_name("random_models.py")
    importers = Path(torchml.importers.__file__).parent
    command = [peers_python, script, importers, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "found", weights_only=True)


def atoms_of(own, name):
    return Atoms(**own["structures"][name])


def computed(model, atoms):
    """Energies of atoms, forces and stress."""
    codes = torch.tensor([model.species.index(one) for one in atoms.symbols])
    edge_index, shifts = edges_of(atoms, model.cutoff)
    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    x = torch.tensor(atoms.positions, requires_grad=True)
    found = energies(model, codes, x + x @ strain, edge_index, shifts + shifts @ strain)
    gradient, virial = torch.autograd.grad(found.sum(), (x, strain))
    stress = (0.5 * (virial + virial.T))[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return SimpleNamespace(
        energies=found.detach(), forces=-gradient, stress=stress / atoms.get_volume()
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_give_what_chgnet_gives_in_float64(own, name):
    model = build(own["networks"][name])
    assert model.species == ["Si", "O", "H", "Mg"]
    assert set(own["results"]) == set(VARIANTS)
    sizes = []
    for key in STRUCTURES:
        expected_energies, forces, stress = own["results"][name][key]
        found = computed(model, atoms_of(own, key))
        torch.testing.assert_close(found.energies, expected_energies, rtol=0, atol=1e-10)
        torch.testing.assert_close(found.forces, forces, rtol=0, atol=1e-10)
        torch.testing.assert_close(found.stress, stress, rtol=0, atol=1e-11)
        sizes.append(float(forces.abs().max()))
    assert max(sizes) > 0.01


@pytest.mark.parametrize("name", VARIANTS)
def test_isolated_atoms(own, name):
    model = build(own["networks"][name])
    lone = [float(computed(model, Atoms(one, cell=[9] * 3)).energies) for one in model.species]
    assert list(own["results"][name]["isolated"]) == model.species
    assert lone == pytest.approx(list(own["results"][name]["isolated"].values()), abs=1e-4)


def test_models_that_cannot_be_exported(own):
    assert "its energy is a function of the mean of the features" in own["refused"].pop(
        "mean of features"
    )
    assert "adds an energy per atom to one of all atoms" in own["refused"].pop("extensive")
    assert "cutoff_coeff=0, expected a whole number, at least 1" in own["refused"].pop("no cutoff")
    assert own["refused"] == {}


def test_errors_of_reading(own):
    errors = own["errors"]
    assert errors["name"].endswith("expected a checkpoint, or 0.3.0 | 0.2.0 | r2scan")
    assert "other.pt holds no model of chgnet" in errors["other"]
    assert "module.pt: not readable as plain values and tensors" in errors["module"]
    assert "has no heads, but head is pbe" in errors["head"]
    assert "has no Cm, expected elements from H to Pu" in errors["species"]


@pytest.fixture(scope="module")
def shipped(own):
    """CHGNet 0.3.0, compared with chgnet's modules in float64."""
    return imported(own["shipped"]["content"], "0.3.0")


def test_shipped_weights(shipped):
    assert shipped.calculator
    assert (shipped.parity.relative < 1e-10, shipped.parity.tolerance) == (True, 1e-8)
    assert shipped.rounding is not None
    assert 1e-9 < shipped.rounding.relative < 1e-3  # chgnet's calculator computes in float32
    assert shipped.provenance == {"package": "chgnet", "version": "0.4.2", "model": "0.3.0"}
    assert shipped.isolated["O"] == pytest.approx(-2.764351, abs=1e-5)
    assert "magnetic moments" in shipped.notes[0]
    assert (shipped.model.cutoff, shipped.model.layers) == (6.0, 4)


@pytest.fixture(scope="module")
def installed(shipped, tmp_path_factory, collection):
    """CHGNet 0.3.0 as a model of KIM."""
    folder, name = tmp_path_factory.mktemp("installed"), kim.model_name("Test_chgnet")
    facts = describe(shipped.model, "edges")
    metadata.save(script(shipped.model, "edges"), folder / "model.pt", facts)
    files = {
        "model.pt": folder / "model.pt",
        f"{name}.param": param_file.render(facts, "model.pt", 6),
    }
    portable.write_folder(folder / name, files, SPECIES)
    kim.install(folder / name, "environment")
    return SimpleNamespace(name=name, folder=folder / name)


def test_every_interface_gives_chgnets_numbers(own, installed):
    """A crystal, a slab and a molecule; chgnet computes them in float32."""
    structures = {key: atoms_of(own, key) for key in ("pair", "slab", "molecule")}
    found = {}
    for key, atoms in structures.items():
        energy, forces, stress = own["shipped"][key]
        found[key] = Potential(installed.folder).evaluate(atoms, virial=True)
        assert found[key].energy == pytest.approx(float(energy), rel=1e-6)
        assert relative(found[key].forces, forces.numpy()) < 1e-4
        assert relative(found[key].virial, stress.numpy() * atoms.get_volume()) < 3e-4
        for calculator in (Calculator(installed.folder), KIM(installed.name)):
            atoms.calc = calculator
            assert atoms.get_potential_energy() == pytest.approx(found[key].energy, rel=1e-12)
            np.testing.assert_allclose(atoms.get_forces(), found[key].forces, rtol=0, atol=1e-10)
    lammps = evaluate_with_lammps(installed.name, list(structures.values()), SPECIES, ranks=2)
    for one, two in zip(found.values(), lammps, strict=True):
        assert two.energy == pytest.approx(one.energy, rel=1e-12)
        np.testing.assert_allclose(two.forces, one.forces, rtol=0, atol=1e-10)
