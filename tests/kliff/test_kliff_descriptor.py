"""A descriptor model in the folder that KLIFF writes runs unchanged.

KLIFF trains such models with libdescriptor, which Python 3.11 has no module of. Its functions that
write a model need nothing of that library but the numbers of the kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.kim import KIM
from kliff.trainer.base_trainer import Trainer
from kliff.transforms.configuration_transforms import descriptors as kliff_descriptors
from kliff.transforms.configuration_transforms.default_hyperparams import (
    bispectrum_default,
    soap_default,
    symmetry_functions_set51,
)

from helpers import portable
from helpers.portable import relative
from torchml import Calculator, descriptors, kim
from torchml.neighbors import periodic_particles
from torchml.validation.lammps import evaluate_with_lammps

CUTOFF = 3.9
KINDS = {"SymmetryFunctions": 0, "Bispectrum": 1, "SOAP": 2}
FUNCTIONS = {
    "g2": [{"eta": 0.05, "Rs": 0.0}, {"eta": 0.8, "Rs": 2.4}],
    "g4": [
        {"zeta": 1, "lambda": -1, "eta": 0.01},
        {"zeta": 2, "lambda": 1, "eta": 0.05},
        {"zeta": 16, "lambda": 1, "eta": 0.1},
    ],
    "g5": [{"zeta": 4, "lambda": -1, "eta": 0.02}],
}


@dataclass(frozen=True)
class Saved:
    """The folder that KLIFF wrote, and its network."""

    folder: Path
    network: torch.nn.Module


@pytest.fixture(scope="module")
def save(
    tmp_path_factory: pytest.TempPathFactory, collection: Path
) -> Callable[[str, dict, int, list[str]], Saved]:
    """save(kind, hyperparameters, width, species): as KLIFF's DNNTrainer.save_kim_model does."""

    written: dict[str, Saved] = {}

    def write(kind: str, hyperparameters: dict, width: int, species: list[str]) -> Saved:
        name = f"Kliff{kind}{''.join(species)}{width}__MO_000000000000_000"
        if name in written:
            return written[name]
        folder = tmp_path_factory.mktemp("saved") / name
        folder.mkdir()
        torch.manual_seed(1)
        network = torch.nn.Sequential(
            torch.nn.Linear(width, 10), torch.nn.Tanh(), torch.nn.Linear(10, 1)
        ).double()
        torch.jit.save(torch.jit.script(network), str(folder / "model.pt"))
        transform = object.__new__(kliff_descriptors.Descriptor.__wrapped__)
        transform.cutoff, transform.species, transform.cutoff_function = CUTOFF, species, "cos"
        transform.descriptor_name, transform.descriptor_kind = kind, KINDS[kind]
        transform.hyperparameters, transform.width = hyperparameters, width
        transform.export_kim_model(str(folder), "model.pt")
        with pytest.MonkeyPatch.context() as patch:
            numbers = SimpleNamespace(AvailableDescriptors=lambda number: number)
            patch.setattr(kliff_descriptors, "lds", numbers)
            transform.save_descriptor_state(folder)
        files = ["model.pt", "descriptor.dat", "kim_model.param"]
        (folder / "CMakeLists.txt").write_text(
            Trainer._generate_kim_cmake(name, "TorchML__MD_173118614730_000", files)
        )
        kim.install(folder, "environment")
        written[name] = Saved(folder, network)
        return written[name]

    return write


def rattled(species: list[str], seed: int) -> Atoms:
    """Silicon or zinc-blende silicon carbide, 16 atoms."""
    compound = {"crystalstructure": "zincblende", "a": 4.6} if len(species) > 1 else {"a": 5.43}
    atoms = bulk("".join(species), cubic=True, **compound) * (2, 1, 1)
    atoms.rattle(0.15, seed=seed)
    return atoms


def symmetry_functions(atoms: Atoms) -> np.ndarray:
    """FUNCTIONS of all atoms by their definitions: [N, width]."""
    particles = periodic_particles(atoms.positions, atoms.cell, atoms.pbc, CUTOFF, CUTOFF)
    rows = []
    for i in range(len(atoms)):
        begin, end = particles.neighbor_offsets[i : i + 2]
        near = particles.coordinates[particles.neighbors[begin:end]] - particles.coordinates[i]
        r = np.linalg.norm(near, axis=1)
        j, k = np.triu_indices(len(r), 1)
        across = np.linalg.norm(near[j] - near[k], axis=1)
        cosine = (near[j] * near[k]).sum(1) / (r[j] * r[k])

        def fade(x: np.ndarray) -> np.ndarray:
            return np.where(x < CUTOFF, 0.5 * (np.cos(np.pi * x / CUTOFF) + 1.0), 0.0)

        row = [
            (np.exp(-one["eta"] * (r - one["Rs"]) ** 2) * fade(r)).sum() for one in FUNCTIONS["g2"]
        ]
        for name, third in (("g4", 1.0), ("g5", 0.0)):
            for one in FUNCTIONS[name]:
                zeta, eta = one["zeta"], one["eta"]
                angular = 2.0 ** (1 - zeta) * (1 + one["lambda"] * cosine) ** zeta
                radial = np.exp(-eta * (r[j] ** 2 + r[k] ** 2 + third * across**2))
                ends = fade(across) if third else 1.0
                row.append((angular * radial * fade(r[j]) * fade(r[k]) * ends).sum())
        rows.append(row)
    return np.array(rows)


def energy_by_definition(network: torch.nn.Module, atoms: Atoms) -> float:
    """Energies without this package, except for its neighbours."""
    with torch.no_grad():
        return float(network(torch.tensor(symmetry_functions(atoms))).sum())


def evaluate(calculator: object, atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy and forces."""
    mine = atoms.copy()
    mine.calc = calculator
    return mine.get_potential_energy(), mine.get_forces()


@pytest.mark.parametrize("species", [["Si"], ["Si", "C"]], ids="".join)
def test_symmetry_functions_are_those_of_their_definition(save, species):
    """Two species: KLIFF writes all S² pairs. Several types: the original mixed their rows up."""
    saved = save("SymmetryFunctions", FUNCTIONS, 6, species)
    atoms = rattled(species, seed=3)
    expected = energy_by_definition(saved.network, atoms)
    results = [
        evaluate(make(), atoms)
        for make in (lambda: KIM(saved.folder.name), lambda: Calculator(saved.folder))
    ]
    for energy, _ in results:
        assert energy == pytest.approx(expected, rel=1e-11)
    forces = results[0][1]
    assert relative(results[1][1], forces) < 1e-11
    for atom, axis in ((0, 0), (5, 1), (15, 2)):
        energies = []
        for step in (-1e-4, 1e-4):
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            energies.append(energy_by_definition(saved.network, moved))
        slope = (energies[1] - energies[0]) / 2e-4
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6 * np.abs(forces).max())
    for ranks in (1, 2):
        (found,) = evaluate_with_lammps(saved.folder.name, [atoms], species, ranks=ranks)
        assert found.energy == pytest.approx(expected, rel=1e-11)
        assert relative(found.forces, forces) < 1e-10


@pytest.mark.parametrize(
    ("kind", "hyperparameters", "width"),
    [
        ("SymmetryFunctions", symmetry_functions_set51(), 51),
        ("Bispectrum", bispectrum_default(), 55),
        ("SOAP", {**soap_default(), "cutoff": CUTOFF}, 50),
    ],
)
def test_defaults_of_kliff_run(save, kind, hyperparameters, width):
    """The network on the library's own values; SOAP reads another layout of the file."""
    saved = save(kind, hyperparameters, width, ["Si"])
    atoms = rattled(["Si"], seed=4)
    parameters = descriptors.read(saved.folder / "descriptor.dat", kind)
    values = torch.tensor(descriptors.Descriptor(parameters).compute(atoms))
    assert values.shape == (len(atoms), width)
    expected = saved.network(values).sum().item()
    energy, forces = evaluate(KIM(saved.folder.name), atoms)
    assert energy == pytest.approx(expected, rel=1e-11)
    assert np.abs(forces).max() > 1e-4
    for ranks in (1, 2):
        (found,) = evaluate_with_lammps(saved.folder.name, [atoms], ["Si"], ranks=ranks)
        assert found.energy == pytest.approx(energy, rel=1e-11)
        assert relative(found.forces, forces) < 1e-10


def test_an_isolated_atom_has_the_energy_of_an_empty_environment(save):
    saved = save("SymmetryFunctions", FUNCTIONS, 6, ["Si"])
    expected = saved.network(torch.zeros(1, 6, dtype=torch.float64)).item()
    energy, forces = evaluate(KIM(saved.folder.name), Atoms("Si", cell=[30.0] * 3, pbc=True))
    assert energy == pytest.approx(expected, rel=1e-12)
    assert (forces == 0).all()


def test_the_folder_is_found_by_the_exporter_too(save, tmp_path):
    """--descriptor takes the file that KLIFF wrote."""
    from torchml.export import Export, export

    saved = save("SymmetryFunctions", FUNCTIONS, 6, ["Si"])
    model, parameters = saved.folder / "model.pt", saved.folder / "descriptor.dat"
    result = export(Export(model, "Again", descriptor=parameters, output=tmp_path))
    assert result.folder is not None
    atoms = portable.silicon(seed=8)
    assert evaluate(Calculator(result.folder), atoms)[0] == pytest.approx(
        evaluate(Calculator(saved.folder), atoms)[0], rel=1e-14
    )
