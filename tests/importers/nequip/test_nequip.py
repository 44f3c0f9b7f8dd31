"""Models of nequip give nequip's own energies, forces and stresses wherever they run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.kim import KIM

from helpers import peers, portable
from helpers.further_training import require_training
from helpers.portable import relative
from torchml import Potential, kim
from torchml.contract import metadata, param_file
from torchml.export.compression import compress
from torchml.importers import parity
from torchml.models import describe, script
from torchml.validation.lammps import evaluate_with_lammps

Content = dict[str, Any]


@pytest.fixture(scope="module")
def folder(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, and what was read of them."""
    path = tmp_path_factory.mktemp("nequip")
    peers.made(peers_python, Path(__file__).with_name("make_models.py"), path)
    return path


@pytest.fixture(scope="module", params=["directed", "allegro", "norms"])
def installed(request, model, tmp_path_factory, collection):
    """Models of KIM with directed cutoffs by pair: a NequIP, an Allegro, and a traced one."""
    network = model(request.param).model
    folder = tmp_path_factory.mktemp("installed")
    name = kim.model_name(f"Test_{request.param}_nequip")
    facts = describe(network, "edges")
    metadata.save(script(network, "edges"), folder / "model.pt", facts)
    files = {
        "model.pt": folder / "model.pt",
        f"{name}.param": param_file.render(facts, "model.pt", 6),
    }
    portable.write_folder(folder / name, files, list(network.species))
    kim.install(folder / name, "environment")
    return SimpleNamespace(network=network, folder=folder / name, name=name)


def salt(species: list[str], repeat: tuple[int, int, int] = (1, 1, 1)) -> Atoms:
    """Rattled rock salt in a cell that is no cube."""
    atoms = bulk("NaCl", "rocksalt", 5.3, cubic=True) * repeat
    atoms.symbols = [species[k % len(species)] for k in range(len(atoms))]
    atoms.set_cell(atoms.cell.array @ [[1, 0, 0], [0.1, 1, 0], [0, 0.2, 1]], scale_atoms=True)
    atoms.rattle(0.15, seed=2)
    return atoms


@pytest.mark.parametrize(
    "name",
    [
        "three-layers",
        "directed",
        "other-order",
        "one-species",
        "allegro",
        "norms",
        "spline-single",
        "charge",
        "names",
        "trained",
        "package",
    ],
)
def test_nequips_own_results(name, model, content):
    found = model(name)
    assert found.calculator
    limit = 1e-5 if name == "spline-single" else 1e-8
    assert found.parity.tolerance == limit
    assert found.parity.relative < limit
    assert found.way == ("graph" if name in ("norms", "spline-single") else "network")


@pytest.mark.parametrize("name", ["directed", "allegro"])
def test_a_training_goes_on(name, model, scratch, monkeypatch):
    require_training(model(name), "nequip", monkeypatch)


def test_what_is_told_of_a_model(content):
    facts = {name: content(name) for name in ("three-layers", "directed", "one-species", "names")}
    assert [one["layers"] for one in facts.values()] == [3, 2, 2, 1]
    assert facts["directed"]["isolated"] == pytest.approx({"Cl": -2.5, "Na": -1.0})
    assert facts["three-layers"]["provenance"]["own dtype"] == "float32"
    assert facts["names"]["species"] == ["F", "Li"]
    assert facts["names"]["provenance"]["types"] == "anion=F cation=Li"
    assert facts["names"]["isolated"] == {"F": 0.0, "Li": 0.0}
    assert facts["directed"]["notes"][0] == (
        "cutoffs by centre and neighbour (Å): Cl Cl 4, Cl Na 4, Na Cl 3, Na Na 4"
    )
    assert "cutoffs" not in " ".join(facts["one-species"]["notes"])


def test_averaged_weights(folder, content, model):
    averages = content("trained")["provenance"]["weights"]
    assert averages == "averaged (decay 0.99, 19 updates)"
    state = torch.load(folder / "trained.ckpt", weights_only=True)["state_dict"]
    embedding = "model.sole_model.model.func.type_embed.embed_module.weight"
    network = model("trained").model.network
    assert torch.equal(network.embedding, state["ema.ema_weight_0"])
    assert not torch.allclose(network.embedding, state[embedding], rtol=1e-3)
    # nequip takes them for its packages.
    other = model("package").model.network
    for one, two in zip(network.buffers(), other.buffers(), strict=True):
        assert torch.equal(one, two)


def test_cutoffs_by_pair_are_directed(model):
    """Na sees no Cl beyond 3 Å, but Cl sees Na up to 4 Å: the energy of Cl alone changes."""
    for name in ("directed", "allegro"):
        network = model(name).model
        energies = []
        for distance in (3.2, 3.6):
            vectors = torch.tensor([[0.0, 0.0, distance], [0.0, 0.0, -distance]]).double()
            index = torch.tensor([[1, 0], [0, 1]])
            species = torch.tensor([network.species.index(one) for one in ("Na", "Cl")])
            counts = [2] * (network.layers + 1), [2] * network.layers
            energies.append(network(species, vectors, index, *counts).detach())
        if network.layers == 1:
            assert energies[0][0] == energies[1][0]
        assert abs(energies[0][1] - energies[1][1]) > 1e-6


def test_every_interface_on_one_and_two_ranks(installed):
    """Domains leave out edges into ghosts of the last shell: the reach is exact."""
    structures = [salt(installed.network.species, (2, 1, 1)), salt(installed.network.species)]
    ranks = {
        n: evaluate_with_lammps(installed.name, structures, installed.network.species, ranks=n)
        for n in (1, 2)
    }
    for k, atoms in enumerate(structures):
        structure = parity.Structure(
            atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc
        )
        own = parity.results(installed.network, structure)
        virial = own.stress * atoms.get_volume()
        results = [
            Potential(installed.folder).evaluate(atoms, virial=True),
            ranks[1][k],
            ranks[2][k],
        ]
        for found in results:
            assert found.energy == pytest.approx(own.energy, rel=1e-10)
            assert relative(found.forces, own.forces) < 1e-10
            assert relative(found.virial, virial) < 1e-10
        atoms.calc = KIM(installed.name)
        assert atoms.get_potential_energy() == pytest.approx(own.energy, rel=1e-10)
        assert relative(atoms.get_forces(), own.forces) < 1e-10


@pytest.mark.parametrize("name", ["directed", "three-layers"])
def test_compressed(name, model):
    exact = model(name).model
    splines = compress(exact, 1e-9).model
    atoms = salt(exact.species)
    structure = parity.Structure(
        atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc
    )
    one, two = parity.results(exact, structure), parity.results(splines, structure)
    assert two.energy == pytest.approx(one.energy, rel=1e-8)
    assert relative(np.asarray(two.forces), np.asarray(one.forces)) < 1e-6


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no-charge", "takes charge, but the head names none, expected --head charge=-1...2"),
        ("no-symbols", "the types anion cation are not all chemical symbols, expected the element"),
        ("no-such-species", "has no type K, expected species of Cl Na"),
        ("no-such-head", "the model is 'forces', expected --head sole_model"),
        ("kcal", "the ZBL potential is not in eV and Å"),
        ("swapped", "the averaged weights and the trained ones were exchanged"),
        ("fine-tuned", "fine-tuned.ckpt fine-tuned.nequip.zip"),
        ("extension", "needs 'nequip_of_a_group'"),
        ("compiled", "model.nequip.pt2 is compiled"),
        ("not-here", "elsewhere.ckpt: no such file"),
        ("other-file", "data.xyz cannot be read"),
    ],
)
def test_what_is_refused(name, sentence, folder):
    assert sentence in (folder / f"{name}.error").read_text()
