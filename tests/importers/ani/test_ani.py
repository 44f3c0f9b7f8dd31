"""ANI models give torchani's energies, forces and stresses wherever they run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.kim import KIM

from helpers import peers
from helpers.ani_models import random_values, write_neurochem
from helpers.portable import relative
from torchml import Calculator, Potential
from torchml.cli import export_main
from torchml.contract import metadata
from torchml.importers.opening import Foreign, load, scripted
from torchml.importers.reading.ani import HARTREE
from torchml.validation.lammps import evaluate_with_lammps

SPECIES = ["H", "C", "O"]
MODELS = {"celu": "celu.model", "neurochem": "neurochem", "ANI-1x": "ani-1x_8x"}


@pytest.fixture(scope="module")
def structures() -> list[Atoms]:
    """Two molecules, and water in a skewed box that is smaller than two cutoffs."""
    found = []
    for name in ("CH3CH2OH", "CH3COOH"):
        atoms = molecule(name)
        atoms.rattle(0.05, seed=1)
        atoms.center(vacuum=6.0)
        found.append(atoms)
    generator = np.random.default_rng(5)
    water = molecule("H2O")
    positions = []
    for place in np.ndindex(2, 2, 2):
        turn, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        positions.append((water.positions - water.positions[0]) @ turn + 3.1 * np.array(place))
    box = Atoms("OHH" * 8, np.concatenate(positions), cell=6.2 * np.eye(3), pbc=True)
    box.set_cell([[6.2, 0, 0], [0.4, 6.2, 0], [0, -0.3, 6.2]], scale_atoms=True)
    return [*found, box]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, peers_python):
    """Files of NeuroChem with random weights, and ANI-1x of the wheel of torchani 2.2.4."""
    folder = tmp_path_factory.mktemp("ani")
    write_neurochem(folder / "neurochem", random_values(SPECIES))
    weights = peers_python.parents[1] / "weights" / "torchani" / "resources" / "ani-1x_8x"
    assert weights.is_dir()
    (folder / "ani-1x_8x").symlink_to(weights)
    return folder


@pytest.fixture(scope="module")
def answers(peers_python, folder, structures):
    return peers.answers(peers_python, Path(__file__).with_name("in_ani.py"), folder, structures)


def agrees(found, own, limit):
    assert found.energy == pytest.approx(own.energy, rel=1e-11)
    assert relative(found.forces, own.forces) < limit
    if own.virial is not None:
        assert relative(found.virial, own.virial) < limit


def test_every_interface_gives_torchanis_results(
    answers, folder, structures, peers_python, collection
):
    """A state_dict of two members with GELU, smooth cutoffs and the repulsion of xTB."""
    words = ["--from", "ani", "--head", "simple_ani", "--python", str(peers_python)]
    words += ["--name", "ANI_gelu", "--output", str(folder), "--install", "environment"]
    assert export_main([str(folder / "gelu.pt"), *words]) == 0
    name = "ANI_gelu__MO_000000000000_000"
    ranks = {n: evaluate_with_lammps(name, structures, SPECIES, ranks=n) for n in (1, 2)}
    for k, atoms in enumerate(structures):
        own = peers.results(answers["results"]["gelu"][k], atoms)
        agrees(Potential(folder / name).evaluate(atoms, virial=True), own, 1e-11)
        for found in (ranks[1][k], ranks[2][k]):
            agrees(found, own, 1e-11)
        for calculator in (KIM(name), Calculator(folder / name)):
            atoms.calc = calculator
            assert atoms.get_potential_energy() == pytest.approx(own.energy, rel=1e-11)
            assert relative(atoms.get_forces(), own.forces) < 1e-11


@pytest.mark.parametrize("name", MODELS)
def test_whole_models_and_files_of_neurochem(
    name, answers, folder, structures, peers_python, tmp_path
):
    loaded = load(folder / MODELS[name], foreign=Foreign("ani", python=peers_python))
    module, facts = scripted(loaded)
    metadata.save(module, tmp_path / "ani.pt", facts)
    potential = Potential(tmp_path / "ani.pt")
    for k, atoms in enumerate(structures):
        found = potential.evaluate(atoms, virial=True)
        agrees(found, peers.results(answers["own"][name][k], atoms), 1e-11)
        if name in answers["results"]:  # torch's derivative of CELU: 1.5e-8 a layer
            agrees(found, peers.results(answers["results"][name][k], atoms), 1e-7)


def test_members_of_ani_1x_give_torchanis_deviation(
    answers, folder, structures, peers_python, tmp_path
):
    """Sample deviation of the total energy over the root of the number of atoms, in Hartree."""
    loaded = load(folder / MODELS["ANI-1x"], foreign=Foreign("ani", python=peers_python))
    module, facts = scripted(loaded)
    metadata.save(module, tmp_path / "ani.pt", facts)
    potential = Potential(tmp_path / "ani.pt")
    assert potential.spec.members == 8
    for atoms, own in zip(structures, answers["qbcs"], strict=True):
        found = potential.evaluate(atoms, members=True).members
        assert found.energies.shape == (8,) and found.energy_deviation > 1e-3
        ours = found.energy_deviation / np.sqrt(len(atoms)) / HARTREE
        assert ours == pytest.approx(own, rel=1e-8)


def test_some_elements_are_enough(answers, folder, structures, peers_python, tmp_path):
    options = Foreign("ani", ["O", "H"], "simple_ani", "float32", peers_python)
    loaded = load(folder / "gelu.pt", foreign=options)
    assert loaded.origin is not None
    # Compared in float64 also where the exported model is float32.
    assert loaded.origin.parity.relative < 1e-11
    module, facts = scripted(loaded)
    assert facts.species == ("O", "H")
    metadata.save(module, tmp_path / "ani.pt", facts)
    found = Potential(tmp_path / "ani.pt").evaluate(structures[2], virial=True)
    agrees(found, peers.results(answers["results"]["gelu"][2], structures[2]), 1e-11)


def test_what_a_model_tells_of_itself(answers):
    assert answers["facts"] == {
        "gelu": [SPECIES, 5.2, "2"],
        "celu": [SPECIES, 5.2, "1"],
        "neurochem": [SPECIES, 4.0, "3"],
        "ANI-1x": [["H", "C", "N", "O"], 5.2, "8"],
    }


@pytest.mark.parametrize(
    ("case", "reason"),
    {
        "dispersion": "its term dispersion_d3 is a torchani.potentials.dftd3.TwoBodyDispersionD3",
        "endless": "its term RepulsionXTB has no cutoff, so that the model is not local",
        "shared": "its networks is a torchani.nn._containers.ANISharedNetworks",
        "tanh": "its networks have the activation Tanh(), expected TightCELU | CELU | GELU",
        "biweight": "its cutoff function is CutoffBiweight, expected CutoffCosine | CutoffSmooth",
        "charges": "the model is a torchani.arch.ANIq, which is not supported",
        "no name": "the name of the file is no model's; name it by the head",
        "other name": "'ANI3' is no model",
        "other model": "ani2x_state_dict.pt does not fit the model ANI2x",
        "other defaults": "shared.pt does not fit the model simple_ani",
        "no state_dict": "training.pt holds a dict, expected a state_dict of torchani 2.9",
        "no model": "garbled.pt is no file of torch.save",
        "element": "the model has no Fe, expected some of H C O",
        "head": "has no heads, but 'ANI1x' was asked for",
        "absent": "the name of a model is not enough",
        "empty": ".params is empty: the wheel of torchani 2.2.4 has only names of the files",
    }.items(),
)
def test_what_cannot_be_read_is_refused(case, reason, answers):
    assert reason in answers["refusals"][case]
