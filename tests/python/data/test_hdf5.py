"""HDF5 as ANI has it: conformers in groups, several methods, missing values, other units."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import units
from torch.utils.data import DataLoader

from helpers.labelled import assert_equal
from torchml import TorchMLError
from torchml.data import Keys, check_labels, read
from torchml.data.formats import hdf5

NAN = float("nan")
DZ = Keys(energy="wb97x_dz.energy", forces="wb97x_dz.forces", energy_unit="Ha")


def write(path="a.h5", **change):
    """Two groups of ANI-1x' release: water (3 conformers) and hydrogen (1)."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for formula, numbers, count in (("H2O1", [8, 1, 1], 3), ("H2", [1, 1], 1)):
            group = file.create_group(formula)
            group["atomic_numbers"] = np.array(numbers, dtype=np.uint8)
            positions = rng.normal(size=(count, len(numbers), 3)).astype(np.float32)
            group["coordinates"] = positions
            group["wb97x_dz.energy"] = rng.normal(size=count) - 76
            group["wb97x_dz.forces"] = rng.normal(size=positions.shape).astype(np.float32)
            group["wb97x_dz.dipole"] = rng.normal(size=(count, 3))
            group["ccsd.energy"] = np.arange(count) - 77.0
    with h5py.File(path, "r+") as file:
        for name, value in change.items():
            name = f"H2O1/{name}"
            if name in file:
                del file[name]
            if value is not None:
                file[name] = value
    return path


def test_conformers_become_configurations_in_ev():
    write()
    found = read("a.h5", Keys(**vars(DZ) | {"targets": ["wb97x_dz.dipole"]}))
    assert [len(c) for c in found] == [2, 3, 3, 3]
    assert [c.name for c in found[:2]] == ["a.h5:H2, configuration 0", "a.h5:H2O1, configuration 0"]
    with h5py.File("a.h5") as file:
        water = {name: item[...] for name, item in file["H2O1"].items()}
    for k, c in enumerate(found[1:]):
        assert c.numbers.tolist() == [8, 1, 1] and not c.pbc.any()
        assert c.energy == water["wb97x_dz.energy"][k] * units.Hartree
        np.testing.assert_allclose(c.forces, water["wb97x_dz.forces"][k] * units.Hartree, rtol=1e-6)
        assert (c.positions == water["coordinates"][k]).all()
        assert c.targets["wb97x_dz.dipole"].tolist() == water["wb97x_dz.dipole"][k].tolist()


def test_of_several_methods_one_must_be_chosen():
    write()
    with pytest.raises(TorchMLError, match=r"H2 has 'ccsd.energy' and 'wb97x_dz.energy'.*keys\.en"):
        read("a.h5")
    # Of forces there is but one.
    found = read("a.h5", Keys(energy="ccsd.energy"))
    assert found[-1].energy == -75 and found[0].forces is not None


def test_missing_values():
    write(**{"wb97x_dz.energy": [-76.0, NAN, -76.5]})
    with pytest.raises(TorchMLError, match=r"a\.h5:H2O1, configuration 1: energy is nan"):
        read("a.h5", DZ)
    found = read("a.h5", Keys(**vars(DZ) | {"allow_missing": True}))
    assert [c.energy is None for c in found] == [False, False, True, False]
    with pytest.raises(TorchMLError, match=r"a\.h5:H2O1, configuration 1 has no energy"):
        check_labels(found, ["energy", "forces"])


def test_the_layouts_of_older_and_newer_ani():
    rng = np.random.default_rng(0)
    with h5py.File("a.h5", "w") as file:
        old = file.create_group("gdb11_s01/gdb11_s01-0")
        old["species"] = np.array([b"C", b"H", b"H", b"H", b"H"])
        old["coordinates"], old["energies"] = rng.normal(size=(2, 5, 3)), [-40.5, -40.4]
        new = file.create_group("by_size/2")
        new["species"] = np.array([[1, 8], [7, 7]])
        new["coordinates"], new["energies"] = rng.normal(size=(2, 2, 3)), [-75.0, -109.0]
        new["cell"], new["pbc"] = 9 * np.eye(3), [True, True, False]
    found = read("a.h5", Keys(energy_unit="Ha"))
    assert [c.numbers.tolist() for c in found] == [[1, 8], [7, 7]] + 2 * [[6, 1, 1, 1, 1]]
    assert found[1].energy == -109 * units.Hartree
    assert found[0].pbc.tolist() == [1, 1, 0] and not found[2].pbc.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"coordinates": np.zeros((3, 4, 3))},
            r"atomic numbers have the shape \[3\], expected \[4\]",
        ),
        ({"coordinates": np.zeros((3, 9))}, r"coordinates have the shape \[3, 9\]"),
        ({"atomic_numbers": None}, "H2O1 has no 'atomic_numbers', it has"),
        ({"atomic_numbers": [8, 1, 0]}, "H2O1, configuration 0: atom 2 has the atomic number 0"),
        ({"wb97x_dz.energy": [1.0, 2.0]}, r"wb97x_dz.energy has the shape \[2\] for 3 conformers"),
        ({"wb97x_dz.forces": np.zeros((3, 3))}, "holds 3 numbers for 3 atoms, expected 9"),
        ({"coordinates": np.zeros((0, 3, 3))}, r"coordinates have the shape \[0, 3, 3\]"),
    ],
)
def test_errors_say_where(change, message):
    write(**change)
    with pytest.raises(TorchMLError, match=message) as caught:
        read("a.h5", DZ)
    assert "a.h5:H2O1" in str(caught.value)


def test_files_without_conformers_or_that_were_cut_short():
    whole = Path(write()).read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 200):
        Path("cut.h5").write_bytes(whole[:size])
        with pytest.raises(TorchMLError, match=r"^cut\.h5.* cannot be read"):
            read("cut.h5", DZ)
    with h5py.File("empty.h5", "w") as file:
        file["energy"] = 1.0
    with pytest.raises(TorchMLError, match=r"empty\.h5 holds no conformers"):
        read("empty.h5")
    with pytest.raises(TorchMLError, match=r"no 'hf.energy' \(keys.energy\), it has 'atomic_numb"):
        read(write(), Keys(energy="hf.energy"))


def test_a_walk_that_stops_leaves_hdf5_to_other_threads():
    names: list[str] = []

    def other() -> None:
        with h5py.File("b.h5") as file:
            names.extend(file)

    write("b.h5")
    with h5py.File(write()) as file:
        walk = hdf5._groups(file)
        assert next(walk).name == "/H2"
        thread = threading.Thread(target=other, daemon=True)
        thread.start()
        thread.join(timeout=5)
        assert names == ["H2", "H2O1"]


def test_large_files_are_read_when_asked(monkeypatch):
    write()
    keys = Keys(**vars(DZ) | {"targets": ["wb97x_dz.dipole"]})
    several = read("a.h5", keys)
    monkeypatch.setattr(hdf5, "LARGE", 3)
    lazy = read("a.h5", keys)
    assert isinstance(several, list) and not isinstance(lazy, list)
    copied = pickle.loads(pickle.dumps(lazy))
    loader = DataLoader(lazy, batch_size=None, num_workers=1, multiprocessing_context="fork")
    for some in (lazy, copied, loader):
        for before, after in zip(several, some, strict=True):
            assert_equal(before, after)
            assert before.name == after.name
    assert_equal(several[-1], lazy[-1])


def test_a_single_conformer_without_a_dimension_for_more():
    with h5py.File("a.h5", "w") as file:
        file["coordinates"], file["species"] = [[0.0, 0, 0], [0, 0, 1]], [1, 1]
        file["energy"], file["cell"] = -1.0, 5 * np.eye(3)
    c = read("a.h5")[0]
    assert c.energy == -1 and c.pbc.all() and c.name == "a.h5:/, configuration 0"


@pytest.mark.parametrize("atoms", [1, 2, 3, 6, 9])
@pytest.mark.parametrize("stacked", [False, True])
def test_one_conformer_has_its_labels_with_and_without_an_axis(atoms, stacked):
    rng = np.random.default_rng(atoms)
    positions, forces = rng.normal(size=(2, atoms, 3))
    matrix, dipole, charges = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=atoms)
    for shape in ((atoms, 3), (1, atoms, 3)):
        with h5py.File("a.h5", "w") as file:
            file["coordinates"] = positions.reshape(shape)
            file["species"] = [6] * atoms
            file["cell"] = 9 * np.eye(3)
            labels = {"energy": -7.5, "forces": forces, "stress": matrix + matrix.T}
            labels |= {"dipole": dipole, "config_weight": 0.5}
            if atoms > 1:
                labels["charges"] = charges
            for name, value in labels.items():
                file[name] = np.asarray(value)[None] if stacked else value
        targets = ["dipole"] + ["charges"] * (atoms > 1)
        (c,) = read("a.h5", Keys(targets=targets))
        assert c.energy == -7.5 and (c.forces == forces).all() and (c.positions == positions).all()
        np.testing.assert_allclose(c.stress[:3], 2 * np.diag(matrix))
        assert c.targets["dipole"].tolist() == dipole.tolist() and c.weights.energy == 0.5
        assert atoms == 1 or c.targets["charges"].tolist() == charges.tolist()


def test_labels_of_one_conformer_have_the_right_size():
    with h5py.File("a.h5", "w") as file:
        file["coordinates"], file["species"] = np.eye(3), [8, 1, 1]
        file["forces"] = np.eye(3)[:2]
    with pytest.raises(TorchMLError, match="forces holds 6 numbers for 3 atoms, expected 9"):
        read("a.h5")
