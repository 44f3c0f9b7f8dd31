"""Configurations: what they promise, what they refuse, and their way to and from ASE."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian

from helpers.labelled import assert_equal, configurations, structures
from torchml import TorchMLError
from torchml.data import Configuration, Keys, Weights

PAIR = {"numbers": [14, 14], "positions": [[0.0, 0, 0], [1, 1, 1]], "source": "a.xyz", "index": 7}
NAN = float("nan")


def test_arrays_have_the_promised_types_whatever_they_were_made_of():
    c = Configuration(
        np.array([14, 6], dtype=np.uint8),
        np.zeros((2, 3), dtype=np.float32),
        forces=[[0, 0, 1], [0, 0, -1]],
        energy=np.float32(0.1),
        fixed=np.array([1.0, 0.0]),
        tags=[0, 2],
        targets={"charge": 1, "charges": [0.5, NAN]},
    )
    assert c.numbers.dtype == np.int64 and c.positions.dtype == np.float64
    assert c.forces.dtype == np.float64 and c.fixed.tolist() == [True, False]
    assert isinstance(c.energy, float) and c.tags.dtype == np.int64
    assert c.targets["charge"].shape == () and np.isnan(c.targets["charges"][1])
    assert not c.pbc.any() and c.volume is None and len(c) == 2
    assert c.weights == Weights(1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": [], "positions": []}, "has no atoms"),
        ({"positions": [[0.0, 0, 0]]}, r"positions have the shape \[1, 3\], expected \[2, 3\]"),
        ({"positions": [[0, 0, 0], [0, NAN, 0]]}, r"positions\[1, 1\] is nan"),
        ({"energy": NAN}, "energy is nan"),
        ({"energy": [1.0, 2.0]}, "energy have the shape"),
        ({"forces": [[0, 0, 0], [0, 0, np.inf]]}, r"forces\[1, 2\] is inf"),
        ({"stress": np.zeros((3, 3))}, r"stress have the shape \[3, 3\], expected \[6\]"),
        ({"numbers": [14, 0]}, "atom 1 has the atomic number 0"),
        ({"numbers": [14, 119]}, "atom 1 has the atomic number 119"),
        ({"numbers": [14, 5.5]}, "numbers cannot be read as int64"),
        ({"numbers": [14, NAN]}, "numbers cannot be read as int64"),
        ({"tags": [1]}, "tags have the shape"),
        ({"forces": "none"}, "forces cannot be read"),
        ({"targets": {"dipole": "large"}}, "the target 'dipole'"),
        ({"pbc": True}, "span a volume"),
        ({"pbc": [1, 1, 0], "cell": [[1, 0, 0], [2, 1e-9, 0], [0, 0, 5]]}, "span a volume"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_index(change, message):
    with pytest.raises(TorchMLError, match=message) as caught:
        Configuration(**(PAIR | change))
    assert "a.xyz, configuration 7" in str(caught.value)


def test_flat_cells_are_fine_where_nothing_repeats_along_them():
    c = Configuration(**PAIR, cell=[[3, 0, 0], [0, 3, 0], [0, 0, 0]], pbc=[True, True, False])
    assert c.volume is None
    assert Configuration(**PAIR, cell=np.diag([1.0, 2, -3]), pbc=True).volume == pytest.approx(6)


@pytest.mark.parametrize("weight", [-1.0, NAN, np.inf])
def test_weights_are_finite_and_not_negative(weight):
    with pytest.raises(TorchMLError, match="the forces weight is"):
        Weights(forces=weight)


def test_to_ase_and_back_changes_nothing():
    for c in configurations():
        assert_equal(c, Configuration.from_atoms(c.to_atoms()))
    alloy, slab, water = configurations()
    assert alloy.stress is not None and slab.fixed.sum() == 4 and water.fixed is None


def test_forces_on_fixed_atoms_are_the_calculators():
    slab = structures()[1]
    assert np.abs(Configuration.from_atoms(slab).forces[slab.constraints[0].index]).max() > 0


def test_partly_fixed_atoms_are_free():
    atoms = Atoms("H3", positions=np.eye(3))
    atoms.set_constraint(
        [FixAtoms([0]), FixCartesian([1], mask=[1, 1, 0]), FixCartesian([2], mask=[1, 1, 1])]
    )
    assert Configuration.from_atoms(atoms).fixed.tolist() == [True, False, True]


def test_units_become_ev_and_angstrom():
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 1.4]], cell=[8, 8, 8], pbc=True)
    forces = np.array([[0, 0, 0.5], [0, 0, -0.5]])
    atoms.calc = SinglePointCalculator(atoms, energy=-1.17, forces=forces, stress=np.arange(6.0))
    c = Configuration.from_atoms(atoms, Keys(energy_unit="Ha", length_unit="Bohr"))
    assert c.energy == pytest.approx(-1.17 * units.Hartree, rel=1e-14)
    np.testing.assert_allclose(c.positions[1, 2], 1.4 * units.Bohr, rtol=1e-14)
    np.testing.assert_allclose(c.cell, 8 * units.Bohr * np.eye(3), rtol=1e-14)
    np.testing.assert_allclose(c.forces, forces * units.Hartree / units.Bohr, rtol=1e-14)
    # Pressure of an energy per volume: 1 Ha/Bohr³ is 29421 GPa.
    np.testing.assert_allclose(c.stress / units.GPa, np.arange(6) * 29421.0, rtol=1e-4)
    mixed = Configuration.from_atoms(
        atoms, Keys(energy_unit="kcal/mol", force_unit="Ha/Bohr", stress_unit="GPa")
    )
    assert mixed.energy == pytest.approx(-1.17 / 23.0605, rel=1e-5)
    np.testing.assert_allclose(mixed.forces, c.forces)
    np.testing.assert_allclose(mixed.stress, np.arange(6) * units.GPa)


def test_virials_become_stresses():
    atoms = Atoms("Si2", positions=[[0, 0, 0], [1, 2, 3]], cell=[4, 5, 6], pbc=True)
    atoms.info["virial"] = np.arange(9.0).reshape(3, 3)
    c = Configuration.from_atoms(atoms)
    np.testing.assert_allclose(c.stress, -np.array([0, 4, 8, 6, 4, 2]) / 120, rtol=1e-14)
    atoms.cell = None
    atoms.pbc = False
    with pytest.raises(TorchMLError, match="without a cell"):
        Configuration.from_atoms(atoms)


def test_a_label_with_several_usual_names_is_asked_about():
    atoms = structures()[0]
    atoms.info["REF_energy"] = -2.0
    with pytest.raises(TorchMLError, match=r"'REF_energy' and 'energy'.*keys\.energy"):
        Configuration.from_atoms(atoms)
    assert Configuration.from_atoms(atoms, Keys(energy="REF_energy")).energy == -2.0
    assert (
        Configuration.from_atoms(atoms, Keys(energy="energy")).energy
        == atoms.calc.results["energy"]
    )
    assert Configuration.from_atoms(atoms, Keys(energy=None)).energy is None


@pytest.mark.parametrize(
    "bad",
    [{"energy_unit": "eV/Å"}, {"length_unit": "eV"}, {"force_unit": "eV"}, {"stress_unit": "eV/Å"}],
)
def test_unknown_units_are_refused(bad):
    with pytest.raises(TorchMLError, match=f"keys.{next(iter(bad))} is"):
        Keys(**bad)


def test_labels_that_are_no_numbers_are_refused():
    atoms = Atoms("H", info={"energy": "low"})
    with pytest.raises(TorchMLError, match="configuration 3: energy is 'low', expected numbers"):
        Configuration.from_atoms(atoms, source="x.db", index=3)


def test_reading_needs_neither_lightning_nor_torch_geometric():
    code = (
        "import sys, torchml.data as d; [getattr(d, n) for n in ('read', 'Keys', 'write_lmdb')];"
        "print([m for m in ('lightning', 'torch_geometric', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_numbers_that_do_not_fit():
    for tags in ([1e30], [2**70], np.array([2**63], dtype=np.uint64)):
        with pytest.raises(TorchMLError, match="tags cannot be read as int64 numbers"):
            Configuration([1], [[0, 0, 0]], tags=tags)
    info = {"charge": np.int64(-1), "spin": np.float64(2)}
    assert repr(Configuration([1], [[0, 0, 0]], info=info).info) == "{'charge': -1, 'spin': 2.0}"
