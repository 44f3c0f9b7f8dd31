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
from helpers.networks import edges_of, energies
from helpers.portable import relative
from torchml import Calculator, Potential
from torchml.cli import export_main
from torchml.importers.networks.chgnet import build
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
def exported(peers_python, tmp_path_factory, collection):
    """CHGNet 0.3.0, exported at the command line and installed."""
    folder = tmp_path_factory.mktemp("exported")
    name = "CHGNet_test__MO_000000000000_000"
    words = ["0.3.0", "--from", "chgnet", "--python", str(peers_python), "--species", *SPECIES]
    words += ["--name", name, "--output", str(folder), "--install", "environment"]
    assert export_main(words) == 0
    return SimpleNamespace(name=name, folder=folder / name)


@pytest.mark.parametrize("key", ["pair", "slab", "molecule"])
def test_every_interface_gives_chgnets_numbers(own, exported, key):
    """A crystal, a slab and a molecule; chgnet computes them in float32."""
    energy, forces, stress = own["shipped"][key]
    atoms = atoms_of(own, key)
    found = Potential(exported.folder).evaluate(atoms, virial=True)
    assert found.energy == pytest.approx(float(energy), rel=1e-6)
    assert relative(found.forces, forces.numpy()) < 1e-4
    assert relative(found.virial, stress.numpy() * atoms.get_volume()) < 3e-4
    for calculator in (Calculator(exported.folder), KIM(exported.name)):
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(found.energy, rel=1e-12)
        np.testing.assert_allclose(atoms.get_forces(), found.forces, rtol=0, atol=1e-10)
    (lammps,) = evaluate_with_lammps(exported.name, [atoms], SPECIES, ranks=2)
    assert lammps.energy == pytest.approx(found.energy, rel=1e-12)
    np.testing.assert_allclose(lammps.forces, found.forces, rtol=0, atol=1e-10)
