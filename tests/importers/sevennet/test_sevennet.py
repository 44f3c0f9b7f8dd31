"""Models of SevenNet give sevenn's own energies, forces and stresses wherever they run."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.kim import KIM

from helpers import peers, portable
from helpers.further_training import require_training
from helpers.portable import relative
from torchml import Potential, kim
from torchml.contract import metadata, param_file
from torchml.export.compression import compress
from torchml.importers import parity
from torchml.importers.imported import Imported
from torchml.models import describe, script
from torchml.validation.lammps import evaluate_with_lammps

Content = dict[str, Any]


@pytest.fixture(scope="module")
def folder(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, and what was read of them."""
    path = tmp_path_factory.mktemp("sevennet")
    printed = peers.made(peers_python, Path(__file__).with_name("make_models.py"), path)
    assert "the pickle was run" not in printed
    return path


def structures_of(content: Content) -> list[tuple[Atoms, SimpleNamespace]]:
    """Crystal, slab and molecule with sevenn's own results."""
    found = []
    for own in content["results"]:
        atoms = Atoms(
            own["symbols"], own["positions"].numpy(), cell=own["cell"].numpy(), pbc=own["pbc"]
        )
        expected = SimpleNamespace(energy=own["energy"], forces=own["forces"].numpy())
        found.append((atoms, expected))
    return found


NAMES = ["7net-0", "PBE", "R2SCAN", "parity", "chiral", "other signs", "old signs", "tuned"]


@pytest.mark.parametrize("name", NAMES)
def test_sevenns_own_results(name, model):
    """In float64, of its modules, once its calculator in float32 has given the same."""
    found = model(name)
    assert found.parity.relative < 1e-10
    assert set(found.parity.structures) == {"crystal", "slab", "molecule", "all species"}
    assert found.rounding is not None and 1e-9 < found.rounding.relative < 1e-5


def test_a_training_goes_on(model, scratch, monkeypatch):
    require_training(model("parity"), "sevennet", monkeypatch)


def test_what_is_told_of_a_model(content, model):
    read = content("7net-0")
    assert (read["species"], read["cutoff"], read["layers"]) == (["Na", "Cl"], 5.0, 5)
    assert "XPLOR envelope from 4.5 Å" in read["notes"][0]
    found = model("PBE").provenance
    assert (found["package"], found["modality"]) == ("sevenn", "PBE")


def energies(model: Imported, atoms: Atoms) -> float:
    structure = parity.Structure(
        list(atoms.symbols), atoms.positions, atoms.cell.array, list(atoms.pbc)
    )
    return parity.results(model.model, structure).energy


def test_settings_are_the_checkpoints_own(model, content):
    """A fine-tuning that left cutoff and envelope out has others than its base model."""
    tuned, base = model("tuned"), model("chiral")
    assert (tuned.model.cutoff, base.model.cutoff) == (3.6, 4.0)
    assert "XPLOR envelope from 3 Å" in tuned.notes[0] and "p = 5" in base.notes[0]
    atoms = structures_of(content("chiral"))[0][0]
    assert abs(energies(tuned, atoms) - energies(base, atoms)) > 1e-5


@pytest.mark.parametrize(("name", "same"), [("other signs", "chiral"), ("old signs", "parity")])
def test_signs_of_couplings_are_the_files(name, same, model, content):
    """(1, 2, 2) changed its sign in e3nn 0.5; with parity, several paths of a layer have it."""
    one, other = model(name), model(same)
    for atoms, _ in structures_of(content(same)):
        assert energies(one, atoms) == pytest.approx(energies(other, atoms), abs=1e-9)


def test_a_modality_is_part_of_the_model(model, content):
    atoms = structures_of(content("PBE"))[0][0]
    per_atom = (energies(model("R2SCAN"), atoms) - energies(model("PBE"), atoms)) / len(atoms)
    assert -4.5 < per_atom < -2.5  # the references of both differ


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no modality", r"7net-mf-0 has several modalities, expected head to be R2SCAN \| PBE"),
        ("case", r"has no modality 'pbe', expected head to be R2SCAN \| PBE \(upper and lower"),
        ("head", "7net-0 has no modalities, expected no head instead of 'PBE'"),
        ("species", "7net-0 has no Po, expected some of Ac Ag"),
        ("pickle", r"pickle.pth: not a readable checkpoint of SevenNet"),
        ("name", "8net-0: no such file, expected a checkpoint or a model of sevenn: .*7net-0"),
    ],
)
def test_what_is_refused(name, sentence, folder):
    error = (folder / f"{name}.error").read_text()
    assert re.search(sentence, error), error


def test_compressed(model, content):
    """XPLOR's envelope has a jump in its second derivative, over which no spline reaches."""
    exact = model("7net-0").model
    made = compress(exact)
    assert made.error < 1e-8 and made.intervals < 700
    for atoms, own in structures_of(content("7net-0")):
        structure = parity.Structure(
            list(atoms.symbols), atoms.positions, atoms.cell.array, list(atoms.pbc)
        )
        found = parity.results(made.model, structure)
        assert found.energy == pytest.approx(own.energy, rel=1e-8)
        assert relative(np.asarray(found.forces), own.forces) < 1e-6


@pytest.fixture(scope="module")
def installed(model, tmp_path_factory, collection):
    """A model of KIM."""
    network = model("parity").model
    folder, name = tmp_path_factory.mktemp("installed"), kim.model_name("Test_sevennet")
    facts = describe(network, "edges")
    metadata.save(script(network, "edges"), folder / "model.pt", facts)
    files = {
        "model.pt": folder / "model.pt",
        f"{name}.param": param_file.render(facts, "model.pt", 6),
    }
    portable.write_folder(folder / name, files, list(network.species))
    kim.install(folder / name, "environment")
    return SimpleNamespace(folder=folder / name, name=name)


def test_every_interface_gives_sevenns_results(installed, content):
    pairs = structures_of(content("parity"))[:2]
    structures = [atoms for atoms, _ in pairs]
    ranks = [
        evaluate_with_lammps(installed.name, structures, content("parity")["species"], ranks=n)
        for n in (1, 2)
    ]
    for k, (atoms, own) in enumerate(pairs):
        for found in (Potential(installed.folder).evaluate(atoms), *(one[k] for one in ranks)):
            assert found.energy == pytest.approx(own.energy, rel=1e-10)
            assert relative(found.forces, own.forces) < 1e-8
        atoms.calc = KIM(installed.name)
        assert atoms.get_potential_energy() == pytest.approx(own.energy, rel=1e-10)
        assert relative(atoms.get_forces(), own.forces) < 1e-8
