"""The functions of benchmarks/frontier.py that could be wrong without anybody seeing it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.units import GPa
from common.sheets import write_markdown
from mlearn.contenders import cutoff_of_snap
from mlearn.convert import convert_all
from mlearn.crystals import crystal, rattled, unit_cell
from mlearn.dynamics import Program, cpu_time, drift, energies, fit_drift, step_time
from mlearn.errors import errors
from mlearn.properties import elastic_constants, lattice_constant, vacancy_energy
from mlearn.results import Result, cost_sheet

from torchml import Calculator, TorchMLError
from torchml.contract import metadata
from torchml.data import read
from torchml.models import StillingerWeber, describe, script
from torchml.training.cli import run

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"

LENNARD_JONES = Program(
    "units metal\natom_style atomic", "pair_style lj/cut 5.0\npair_coeff * * 0.41 2.34"
)


def entry(energy: float) -> dict:
    sites = [
        {"species": [{"element": "Ge", "occu": 1}], "abc": place, "xyz": [9.0, 9.0, 9.0]}
        for place in ([0.0, 0.0, 0.0], [0.25, 0.25, 0.25])
    ]
    lattice = {"matrix": [[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]]}
    forces = [[0.5, 0.0, 0.0], [-0.5, 0.0, 0.25]]
    return {
        "group": "Elastic",
        "structure": {"lattice": lattice, "sites": sites},
        "outputs": {"energy": energy, "forces": forces, "virial_stress": [1, 2, 3, 4, 5, 6]},
    }


def test_converted_data_are_those_of_the_json(tmp_path):
    (tmp_path / "Ge").mkdir()
    (tmp_path / "Ge" / "training.json").write_text(json.dumps([entry(-9.0), entry(-8.5)]))
    (tmp_path / "Ge" / "test.json").write_text(json.dumps([entry(-7.0)]))
    written = convert_all(tmp_path, tmp_path / "files")
    assert {path.name: count for path, count in written.items()} == {
        "mlearn_Ge_train.extxyz": 2,
        "mlearn_Ge_test.extxyz": 1,
    }
    first, second = read(tmp_path / "files" / "mlearn_Ge_train.extxyz")
    assert (first.energy, second.energy) == (-9.0, -8.5)
    np.testing.assert_allclose(first.forces, [[0.5, 0.0, 0.0], [-0.5, 0.0, 0.25]])
    np.testing.assert_allclose(first.positions, [[0.0] * 3, [1.0] * 3])
    np.testing.assert_allclose(first.cell, entry(0.0)["structure"]["lattice"]["matrix"])
    assert np.all(first.pbc)
    assert first.group == "Elastic"
    # xx yy zz yz xz xy of pressures of 0.1 to 0.6 GPa, which are negative stresses
    np.testing.assert_allclose(first.stress / GPa, [-0.1, -0.2, -0.3, -0.5, -0.6, -0.4])


def test_shear_stresses_have_another_order_in_other_groups(tmp_path):
    (tmp_path / "Ge").mkdir()
    (tmp_path / "Ge" / "test.json").write_text(json.dumps([entry(-9.0) | {"group": "Surface"}]))
    convert_all(tmp_path, tmp_path / "files")
    (surface,) = read(tmp_path / "files" / "mlearn_Ge_test.extxyz")
    np.testing.assert_allclose(surface.stress[3:] / GPa, [-0.6, -0.5, -0.4])


def test_other_content_is_refused(tmp_path):
    with pytest.raises(TorchMLError, match=r"has no <element>/training\.json"):
        convert_all(tmp_path, tmp_path / "files")
    (tmp_path / "Ge").mkdir()
    (tmp_path / "Ge" / "test.json").write_text('[{"structure": {}}]')
    with pytest.raises(TorchMLError, match=r"Ge/test\.json cannot be read as data of mlearn"):
        convert_all(tmp_path, tmp_path / "files")


@pytest.mark.parametrize("with_stress", [True, False])
def test_data_train_with_their_stress_and_without(tmp_path, with_stress):
    properties = ["energy", "forces", "stress"] if with_stress else ["energy", "forces"]
    structures = []
    for seed in range(8):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        values = {name: atoms.calc.get_property(name, atoms) for name in properties}
        atoms.calc = SinglePointCalculator(atoms, **values)
        structures.append(atoms)
    write(tmp_path / "train.extxyz", structures)
    changes = {
        "data": {"train": str(tmp_path / "train.extxyz")},
        "trainer": {"max_epochs": 1},
        "members": 2,
    }
    (tmp_path / "changes.yaml").write_text(json.dumps(changes))
    configs = (BENCHMARKS / "accuracy.yaml", tmp_path / "changes.yaml")
    words = [word for config in configs for word in ("--config", str(config))]
    trained = run(["fit", *words, "--trainer.default_root_dir", str(tmp_path / "run")])
    assert (trained.metrics["train/stress_loss"] > 0) is with_stress


@pytest.fixture(scope="module")
def stillinger_weber(tmp_path_factory):
    """The calculator of a potential of silicon with known properties."""
    path = tmp_path_factory.mktemp("silicon") / "model.pt"
    model = StillingerWeber()
    metadata.save(script(model, "edges"), path, describe(model, "edges"))
    return Calculator(path)


# E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988). The atoms must move within the sheared cell: C44
# is about twice as large where they do not.
def test_elastic_constants_are_those_of_stillinger_weber(stillinger_weber):
    a = lattice_constant("Si", stillinger_weber)
    assert a == pytest.approx(5.431, abs=5e-4)
    found = elastic_constants("Si", a, stillinger_weber)
    assert found == pytest.approx((151.4, 76.4, 56.4), rel=5e-3)


# It is the cohesive energy: four bonds of 2.1682 eV are cut, two of which the atom gets back in the
# bulk, all other bonds and angles stay perfect, and so its neighbours stay where they are.
def test_vacancy_of_stillinger_weber_costs_two_bonds(stillinger_weber):
    energy = vacancy_energy("Si", 5.43095, stillinger_weber)
    assert energy == pytest.approx(2 * 2.1682, abs=2e-3)


def test_vacancies_relax():
    energies = [vacancy_energy("Cu", 3.6, EMT(), relax=relax) for relax in (False, True)]
    assert energies[0] - 0.2 < energies[1] < energies[0] - 0.01


def test_a_crystal_without_a_place_of_rest_is_refused(stillinger_weber):
    with pytest.raises(TorchMLError, match="Ge"):
        lattice_constant("Ge", stillinger_weber)


@pytest.mark.parametrize(
    ("element", "sizes"), [("Si", (1000, 216)), ("Ni", (864, 256)), ("Li", (1024, 250))]
)
def test_crystals_have_nearly_the_number_of_atoms(element, sizes):
    assert tuple(len(crystal(element, atoms)) for atoms in (1000, 216)) == sizes
    assert len(crystal(element, 1)) == len(unit_cell(element))


def test_rattled_atoms_are_always_the_same():
    start = crystal("Si", 64)
    np.testing.assert_array_equal(rattled(start).positions, rattled(start).positions)
    moved = rattled(start).get_distances(0, 1), start.get_distances(0, 1)
    assert moved[0] != pytest.approx(moved[1])


def test_errors_are_per_atom_and_per_component():
    references = []
    for number, shift in ((1, 0.01), (2, -0.03)):
        atoms = bulk("Cu", cubic=True).repeat((number, 1, 1))
        atoms.rattle(0.05, seed=number)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        forces[0] += [0.0, 0.3, 0.4]
        atoms.calc = SinglePointCalculator(atoms, energy=energy + shift * len(atoms), forces=forces)
        references.append(atoms)
    found = errors(references, EMT())
    assert found.energy == pytest.approx(20.0)
    assert found.energy_rms == pytest.approx(np.sqrt((10.0**2 + 30.0**2) / 2))
    assert found.forces == pytest.approx(2 * 0.7 / 36)
    assert found.forces_rms == pytest.approx(np.sqrt(2 * 0.25 / 36))


def test_time_is_that_of_all_threads():
    assert cpu_time("1500000 7 1\n500000 9 2\n") == pytest.approx(2000.0)


def test_drift_is_the_slope_of_the_energies():
    time = np.arange(0, 2001, 10)
    wave = 1e-3 * np.cos(2 * np.pi * time / 20)
    rows = np.stack([time, -5.0 + 0.02 * time * 1e-3 + wave, np.full(len(time), 300.0)], axis=1)
    found = fit_drift(rows, atoms=10)
    assert found.slope == pytest.approx(2.0, rel=1e-2)
    assert found.spread == pytest.approx(0.1, rel=1e-2)
    with pytest.raises(TorchMLError, match="too few"):
        fit_drift(rows[:5], atoms=10)


def test_energies_are_read_from_logs_of_old_and_new_lammps():
    table = (
        "   Step          TotEng          Temp\n  0  -4.5  300\n 10 -4.25 250.5\nLoop time of 1\n"
    )
    for log in (table, "Step TotEng Temp \n 0 -4.5 300\n 10 -4.25 250.5\nLoop time of 1\n"):
        np.testing.assert_array_equal(energies(log), [[0, -4.5, 300], [10, -4.25, 250.5]])


def test_steps_and_drift_in_lammps():
    atoms = rattled(crystal("Cu", 256))
    assert 0.01 < step_time(LENNARD_JONES, atoms, steps=50) < 100
    found = drift(LENNARD_JONES, crystal("Cu", 32), picoseconds=0.5)
    assert abs(found.slope) < 1.0
    assert 100 < found.temperature < 500


def test_cutoff_of_snap_parameters(tmp_path):
    file = tmp_path / "Si.snapparam"
    file.write_text("# rcutfac 9\n\nrcutfac 4.9\ntwojmax 8\n")
    assert cutoff_of_snap(file) == 4.9
    file.write_text("twojmax 8\n")
    with pytest.raises(TorchMLError, match="no rcutfac"):
        cutoff_of_snap(file)


def test_costs_are_compared_with_those_of_the_same_element():
    results = [
        Result("qSNAP", "Si", steps=[90.0, 100.0, 140.0]),
        Result("ours", "Si", steps=[20.0, 30.0, 25.0]),
        Result("ours", "Ge", steps=[10.0]),
    ]
    rows = {(row[0], row[1]): row[7:9] for row in cost_sheet(results).rows}
    assert rows["Si", "ours"] == ["25.0", "4.00"]
    assert rows["Si", "qSNAP"] == ["100.0", "1.00"]
    assert rows["Ge", "ours"] == ["10.0", ""]


def test_a_page_with_two_sets_of_tables_keeps_the_other(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- frontier -->\nold\n<!-- end of frontier -->\nb\n"
        "<!-- tables -->\nkept\n<!-- end of tables -->\n"
    )
    sheet = cost_sheet([Result("ours", "Si", steps=[12.5])])
    write_markdown("head", [sheet], page, marks="frontier")
    text = page.read_text()
    assert "old" not in text
    assert "| Si | ours |  |  |  |  |  | 12.5 |" in text
    assert text.startswith("a\n<!-- frontier -->\nhead\n")
    assert text.endswith("b\n<!-- tables -->\nkept\n<!-- end of tables -->\n")
