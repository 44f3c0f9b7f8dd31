"""The models in LAMMPS, on one and two ranks."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from helpers import portable
from helpers.portable import relative
from torchml import Potential, TorchMLError
from torchml.reference.model import ReferenceModel
from torchml.validation.lammps import UNITS, evaluate_with_lammps, run_lammps


def half_empty() -> Atoms:
    """All atoms in one half of a long box: of two ranks, one has none."""
    atoms = portable.silicon()
    atoms.set_cell([5.431 * 6, 5.431, 5.431])
    return atoms


STRUCTURES = {
    "crystal": portable.silicon(2),
    "8 atoms": portable.silicon(),
    "cutoff beyond the cell": portable.dense(),
    "one rank empty": half_empty(),
    "isolated": Atoms("Si"),
}


def run(name, ranks=1, units="metal", particle_virials=True, structures=STRUCTURES):
    found = evaluate_with_lammps(
        name,
        list(structures.values()),
        ["Si"],
        ranks=ranks,
        units=units,
        particle_energies=True,
        particle_virials=particle_virials,
    )
    return dict(zip(structures, found, strict=True))


@pytest.fixture(scope="module")
def native():
    return run(portable.openkim_sw())


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("convention", ["none", "graph", "edges"])
def test_stillinger_weber_is_that_of_openkim(convention, ranks, installed, native):
    ours = run(installed("sw", convention).name, ranks)
    for name in ("crystal", "8 atoms", "cutoff beyond the cell", "one rank empty"):
        found, expected = ours[name], native[name]
        assert found.energy == pytest.approx(expected.energy, rel=1e-8)
        assert relative(found.forces, expected.forces) < 1e-8
        assert relative(found.virial, expected.virial) < 1e-8  # the pressure
        assert relative(found.particle_energies, expected.particle_energies) < 1e-8
    assert ours["isolated"].energy == 0
    assert (ours["isolated"].forces == 0).all()


@pytest.mark.parametrize("convention", ["graph", "edges"])
def test_schnet_is_that_of_python(convention, installed):
    """Against minimum-image edges in Python."""
    example = installed("schnet", convention)
    reference = ReferenceModel(example.archive, Potential(example.archive).spec)
    one, two = run(example.name, 1), run(example.name, 2)
    for name, atoms in STRUCTURES.items():
        expected = reference.evaluate(atoms)
        for found in (one[name], two[name]):
            assert found.energy == pytest.approx(expected.energy, rel=1e-10)
            if len(atoms) > 1:
                assert relative(found.forces, expected.forces) < 1e-10
                assert relative(found.virial, expected.virial) < 1e-10
        assert two[name].energy == pytest.approx(one[name].energy, rel=1e-10)
        if len(atoms) > 1:
            assert relative(two[name].forces, one[name].forces) < 1e-10
            assert relative(two[name].particle_energies, one[name].particle_energies) < 1e-10


@pytest.mark.parametrize(("kind", "error"), [("splines", 1e-10), ("splines32", 1e-4)])
@pytest.mark.parametrize("convention", ["graph", "edges"])
def test_compressed_models_are_those_of_python(kind, error, convention, installed):
    example = installed(kind, convention)
    reference = ReferenceModel(example.archive, Potential(example.archive).spec)
    one, two = run(example.name, 1), run(example.name, 2)
    for name in ("crystal", "cutoff beyond the cell", "one rank empty"):
        expected = reference.evaluate(STRUCTURES[name])
        for found in (one[name], two[name]):
            assert found.energy == pytest.approx(expected.energy, rel=error)
            assert relative(found.forces, expected.forces) < error
            assert relative(found.virial, expected.virial) < error


@pytest.mark.parametrize("case", [("sw", "edges"), ("schnet", "edges")], ids="-".join)
@pytest.mark.parametrize("ranks", [1, 2])
def test_atomic_energies_and_stresses_sum_to_energy_and_pressure(case, ranks, installed):
    found = run(installed(*case).name, ranks)
    for name in ("crystal", "8 atoms", "one rank empty"):
        one = found[name]
        assert one.particle_energies.sum() == pytest.approx(one.energy, rel=1e-10)
        assert relative(one.particle_virials.sum(axis=0), one.virial) < 1e-8


@pytest.mark.parametrize("units", ["real", "si", "cgs", "electron"])
def test_lammps_units_are_converted_by_the_model(units, installed):
    """The result in eV is that of metal units; constants of KIM and LAMMPS differ by 1e-7."""
    structures = {"crystal": portable.silicon()}
    name = installed("sw", "edges").name
    metal = run(name, 1, "metal", structures=structures)["crystal"]
    found = run(name, 1, units, structures=structures)["crystal"]
    assert found.energy == pytest.approx(metal.energy, rel=1e-6)
    assert relative(found.forces, metal.forces) < 1e-6
    assert relative(found.virial, metal.virial) < 1e-6
    assert relative(found.particle_energies, metal.particle_energies) < 1e-6
    assert relative(found.particle_virials, metal.particle_virials) < 1e-6


def test_real_units_are_those_of_openkim_up_to_the_calorie(installed):
    """OpenKIM's model accepts kcal/mol but goes on in eV, so its forces are scaled here."""
    structures = {"crystal": portable.silicon(2)}
    for ranks in (1, 2):
        ours = run(installed("sw", "graph").name, ranks, "real", structures=structures)["crystal"]
        native = run(portable.openkim_sw(), 1, "metal", structures=structures)["crystal"]
        scale = native.energy / ours.energy
        assert scale == pytest.approx(1, rel=1e-6)
        assert relative(ours.forces * scale, native.forces) < 1e-8


def test_energy_is_conserved_and_ranks_walk_the_same_way(installed, tmp_path):
    """Ten steps of dynamics: 2 ranks follow 1 rank; the total energy stays."""
    walks = []
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        run_lammps(NVE, folder, ranks, {"model": installed("schnet", "edges").name})
        walks.append(np.loadtxt(folder / "energies.txt"))
    kinetic, potential = walks[0].T
    assert np.ptp(kinetic + potential) < 0.02 * np.ptp(kinetic) + 1e-7
    np.testing.assert_allclose(walks[0], walks[1], rtol=1e-10)


NVE = """
kim init ${model} metal
lattice diamond 5.431
region box block 0 2 0 2 0 2
create_box 1 box
create_atoms 1 box
mass 1 28.0855
kim interactions Si
displace_atoms all random 0.1 0.1 0.1 7
velocity all create 300 4711 loop geom
fix nve all nve
thermo 1
variable ke equal ke
variable pe equal pe
fix write all print 1 "${ke} ${pe}" file energies.txt screen no
run 10
"""


def test_what_lammps_says_at_the_end_is_passed_on(installed, tmp_path):
    with pytest.raises(TorchMLError, match=r"ended with 1: .*ERROR: Unknown command: nonsense"):
        run_lammps("nonsense\n", tmp_path)


def test_what_the_driver_says_is_passed_on(installed, monkeypatch):
    monkeypatch.setenv("KIM_MODEL_EXECUTION_DEVICE", "nonsense")
    with pytest.raises(TorchMLError, match=r"'?nonsense'?.*expected"):
        run(installed("sw", "edges").name)


def test_an_element_that_the_model_does_not_know_stops_lammps(installed, tmp_path):
    script = NVE.replace("interactions Si", "interactions C")
    with pytest.raises(TorchMLError, match=r"(?i)ERROR.*species"):
        run_lammps(script, tmp_path, 1, {"model": installed("sw", "edges").name})


def test_a_missing_program_is_an_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TorchMLError, match="'lmp' is not on the PATH"):
        run("a model")


def test_units_that_lammps_does_not_have_are_refused():
    assert "lj" not in UNITS
    with pytest.raises(TorchMLError, match="'lj'"):
        run("a model", units="lj")
