"""CHGNets give chgnet's own energies, forces and stresses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ase import Atoms

import torchml.importers
from helpers.networks import edges_of, energies
from torchml.importers.networks.chgnet import build

VARIANTS = [
    "layer norms",
    "norms of convolutions",
    "batch norms",
    "no norms",
    "no updates of angles",
    "no bonds",
    "one layer",
]
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
