"""What ASE reads: trajectories, databases and files of codes."""

from __future__ import annotations

import pickle
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io.trajectory import Trajectory
from ase.optimize import BFGS
from torch.utils.data import DataLoader

from helpers.labelled import assert_equal, configurations, structures
from torchml import TorchMLError
from torchml.data import Keys, Weights, read


@pytest.mark.parametrize("path", ["a.traj", "a.json", "a.other"])
def test_files_of_ase_come_back_exactly(path):
    ase.io.write(path, structures(), format="traj" if path != "a.json" else None)
    for k, (before, after) in enumerate(zip(configurations(), read(path), strict=True)):
        assert_equal(before, after)
        assert after.name == f"{path}, configuration {k}"


def test_a_relaxation_as_it_was_written():
    atoms = structures()[1]
    atoms.pbc = True
    atoms.calc = EMT()
    with BFGS(atoms, trajectory="relax.traj", logfile=None) as optimizer:
        optimizer.run(fmax=0.0, steps=3)
    found = read("relax.traj")
    assert len(found) == 4 and found[-1].energy < found[0].energy
    assert found[-1].fixed.sum() == 4
    # ASE hides forces on fixed atoms from its optimizers, not from its files.
    assert np.abs(found[0].forces[found[0].fixed]).max() > 0


def test_formats_can_be_named():
    silicon = Atoms("Si2", positions=[[0, 0, 0], [1.3, 1.3, 1.3]], cell=[5, 5, 5], pbc=True)
    ase.io.write("structure", silicon, format="vasp")
    assert read("structure", format="vasp")[0].numbers.tolist() == [14, 14]
    ase.io.write("a.data", silicon, format="extxyz")
    assert len(read("a.data", format="extxyz")) == 1


@pytest.fixture
def database():
    with ase.db.connect("a.db") as database:
        for k, atoms in enumerate(structures()):
            database.write(atoms, weight=0.5 * k, data={"dipole": [1.0, 2.0, k]})
    del database[2]
    return "a.db"


def test_databases_are_read_when_asked(database):
    found = read(database, Keys(weight="weight", targets=["dipole"]))
    before = configurations()
    assert len(found) == 2 and not isinstance(found, list)
    assert found[1].weights == Weights(1.0, 1.0, 1.0) and found[0].weights.energy == 0
    assert found[1].targets["dipole"].tolist() == [1, 2, 2]
    for a, b in zip((before[0], before[2]), read(database, Keys(weight=None)), strict=True):
        assert_equal(a, b)
    assert found[-1].name == "a.db, configuration 1"


def test_databases_go_to_workers(database):
    found = read(database)
    energies = [c.energy for c in found]
    assert [c.energy for c in pickle.loads(pickle.dumps(found))] == energies
    loader = DataLoader(found, batch_size=None, num_workers=1, multiprocessing_context="fork")
    assert [c.energy for c in loader] == energies
    assert [c.energy for c in found] == energies


@pytest.mark.parametrize("path", ["a.traj", "a.db", "a.json", "OUTCAR"])
def test_what_cannot_be_read_is_named(path):
    Path(path).write_bytes(b"nonsense\n" * 50)
    with pytest.raises(TorchMLError, match=f"^{path} cannot be read"):
        read(path)
    Path(path).write_bytes(b"")
    with pytest.raises(TorchMLError, match=f"^{path} (cannot be read|is empty)"):
        read(path)


def test_a_trajectory_that_was_cut_short():
    ase.io.write("a.traj", structures() * 5)
    whole = Path("a.traj").read_bytes()
    Path("a.traj").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TorchMLError, match=r"a\.traj cannot be read by ASE"):
        read("a.traj")


def test_an_empty_structure_is_named():
    with Trajectory("a.traj", "w") as file:
        file.write(Atoms("H"))
        file.write(Atoms())
    with pytest.raises(TorchMLError, match=r"a\.traj, configuration 1 has no atoms"):
        read("a.traj")
    with ase.db.connect("empty.db"):
        pass
    Path("empty.db").unlink(missing_ok=True)
    with ase.db.connect("b.db") as database:
        del database[database.write(Atoms("H"))]
    with pytest.raises(TorchMLError, match=r"b\.db is empty"):
        read("b.db")
    with ase.db.connect("c.db") as database:
        database.write(Atoms("H"))
    with pytest.raises(TorchMLError, match=r"c.db has no 'REF' \(keys.energy\)"):
        read("c.db", Keys(energy="REF"))
