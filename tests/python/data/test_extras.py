"""Ids, charge, spin, origin and the end of a relaxation, in every format."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import ase.io
import h5py
import lmdb
import numpy as np
import pytest
import torch
from ase.db import connect

from helpers.labelled import assert_equal, configurations
from torchml import TorchMLError
from torchml.data import (
    Configuration,
    Keys,
    read,
    write_aselmdb,
    write_extxyz,
    write_lmdb,
    write_parquet,
)

SLAB = 1


def complete() -> list[Configuration]:
    """Configurations with all that a data set says; ids that look like numbers are texts."""
    extras = (
        {"sid": "random12", "fid": "007", "info": {"charge": -1, "spin": 2, "source": 'a "b" c'}},
        {"sid": "12", "fid": "3", "info": {"charge": 0.5}},
        {"sid": "T", "fid": "1e3", "info": {"source": "5"}},
    )
    return [
        replace(
            c,
            relaxed_positions=c.positions + 0.125,
            relaxed_energy=c.energy - 0.1,
            initial_energy=c.energy,
            **more,
        )
        for c, more in zip(configurations(), extras, strict=True)
    ]


@pytest.mark.parametrize(
    ("write", "path"),
    [
        (write_extxyz, "a.extxyz"),
        (write_lmdb, "a.lmdb"),
        (write_aselmdb, "a.aselmdb"),
        (write_parquet, "a.parquet"),
    ],
)
def test_every_writer_keeps_what_its_reader_finds(write, path):
    some = complete()
    write(some, path)
    for before, after in zip(some, read(path), strict=True):
        assert_equal(before, after)


def test_ase_keeps_them_in_its_files():
    some = complete()
    atoms = [c.to_atoms() for c in some]
    for c, one in zip(some, atoms, strict=True):
        assert one.info["sid"] == c.sid and one.info["y_relaxed"] == c.relaxed_energy
        assert_equal(c, replace(Configuration.from_atoms(one), fixed=c.fixed, tags=c.tags))
        assert not np.shares_memory(one.arrays["pos_relaxed"], c.relaxed_positions)
    ase.io.write("a.traj", atoms)
    with connect("a.db") as database:
        for one in atoms:
            database.write(one, data={**one.info, "pos_relaxed": one.arrays["pos_relaxed"]})
    for path in ("a.traj", "a.db"):
        for before, after in zip(some, read(path), strict=True):
            if path == "a.traj":  # trajectories hold no arrays but ASE's own
                before = replace(before, relaxed_positions=None)
            assert_equal(before, replace(after, fixed=before.fixed, tags=before.tags))


def test_an_infinite_charge_is_an_error_and_nan_is_none():
    for text in ("inf", "-inf"):
        Path("a.xyz").write_text(f"1\nProperties=species:S:1:pos:R:3 charge={text}\nSi 0 0 0\n")
        with pytest.raises(TorchMLError, match=rf"charge is {text}, expected a finite number"):
            read("a.xyz")
    Path("a.xyz").write_text("1\nProperties=species:S:1:pos:R:3 charge=nan\nSi 0 0 0\n")
    assert read("a.xyz")[0].info == {}


def test_rows_of_a_relaxation_as_ocp_has_them():
    c = replace(complete()[SLAB], energy=None, forces=None, stress=None, fid=None)
    write_lmdb([c, replace(c, sid=None)], "a.lmdb")
    with (
        lmdb.open("a.lmdb", subdir=False, readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        rows = [pickle.loads(transaction.get(key)) for key in (b"0", b"1")]
        assert pickle.loads(transaction.get(b"length")) == 2
    assert rows[0]["sid"] == 12 and not {"fid", "y", "force"} & rows[0].keys()
    assert rows[0]["y_init"] == c.initial_energy and rows[0]["y_relaxed"] == c.relaxed_energy
    np.testing.assert_array_equal(rows[0]["pos_relaxed"], c.relaxed_positions)
    assert (rows[1]["sid"], rows[1]["fid"]) == (1, 0)  # what has no id gets its place


def test_rows_of_torch_are_read_with_units():
    c = configurations()[2]
    row = {"pos": torch.tensor(c.positions), "atomic_numbers": torch.tensor(c.numbers)}
    row |= {"sid": torch.tensor(7.0), "fid": torch.tensor([3]), "charge": torch.tensor([1])}
    row |= {"y_relaxed": 2.0, "y_init": float("nan"), "pos_relaxed": torch.ones(len(c), 3)}
    rows = [row, row | {"pos_relaxed": torch.ones(2)}, row | {"y_relaxed": "low"}]
    with (
        lmdb.open("a.lmdb", subdir=False, lock=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        for k, entry in enumerate(rows):
            transaction.put(b"%d" % k, pickle.dumps(entry))
    found = read("a.lmdb", Keys(energy_unit="meV", length_unit="nm"))
    first = found[0]
    assert (first.sid, first.fid, first.info) == ("7", "3", {"charge": 1})
    assert first.relaxed_energy == 0.002 and first.initial_energy is None
    assert first.relaxed_positions.tolist() == [[10.0] * 3] * len(c)
    with pytest.raises(TorchMLError, match="1: pos_relaxed holds 2 numbers for 3 atoms, expected"):
        found[1]
    with pytest.raises(TorchMLError, match="2: y_relaxed is 'low', expected numbers"):
        found[2]


def test_hdf5_has_a_value_for_each_conformer():
    c = configurations()[2]
    with h5py.File("a.h5", "w") as file:
        group = file.create_group("water")
        group["atomic_numbers"] = c.numbers
        group["coordinates"] = np.stack([c.positions] * 2)
        group["energy"] = [1.0, 2.0]
        group["sid"] = [b"x1", b"x2"]
        group["charge"] = [0, 1]
        group["pos_relaxed"] = np.stack([c.positions, c.positions + 1])
        group["spin"] = 3  # not one for each: not read
    found = read("a.h5")
    assert [one.sid for one in found] == ["x1", "x2"]
    assert [one.info for one in found] == [{"charge": 0}, {"charge": 1}]
    np.testing.assert_array_equal(found[1].relaxed_positions, c.positions + 1)


def test_a_target_of_the_same_name_is_written_as_it_is():
    write_lmdb(complete(), "a.lmdb")
    wanted = Keys(targets=["y_init", "pos_relaxed"])
    some = read("a.lmdb", wanted)
    write_extxyz(some, "b.xyz")
    for before, after in zip(some, read("b.xyz", wanted), strict=True):
        assert_equal(before, after)
