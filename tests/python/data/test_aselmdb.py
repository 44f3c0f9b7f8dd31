"""ASE's databases in LMDB files, as the package ase-db-backends writes them."""

from __future__ import annotations

import zlib
from dataclasses import replace
from multiprocessing import get_context
from operator import getitem
from pathlib import Path

import lmdb
import numpy as np
import pytest
from ase.db.row import AtomsRow
from ase.io.jsonio import decode, encode
from torch.utils.data import DataLoader

from helpers.labelled import assert_equal, configurations, structures
from torchml import TorchMLError
from torchml.data import (
    Configuration,
    GraphBuilder,
    Keys,
    Weights,
    apply_weights,
    read,
    write_aselmdb,
)
from torchml.data.dataset import GraphDataset
from torchml.data.formats.aselmdb import AseLmdbConfigurations


def put(entries: dict[str, object], path: str = "a.aselmdb") -> None:
    put_bytes({key: zlib.compress(encode(value).encode()) for key, value in entries.items()}, path)


def put_bytes(entries: dict[str, bytes], path: str = "a.aselmdb") -> None:
    with (
        lmdb.open(path, subdir=False, lock=False, map_size=1 << 24) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in entries.items():
            transaction.put(key.encode(), value)


def row(atoms, **more) -> dict[str, object]:
    source = AtomsRow(atoms)
    skipped = {*source._keys, "id"}
    entries = {
        key: source[key]
        for key in source.__dict__
        if not key.startswith("_") and key not in skipped
    }
    entries["cell"] = np.asarray(entries["cell"])
    if atoms.constraints:
        entries["constraints"] = [constraint.todict() for constraint in atoms.constraints]
    return entries | {"mtime": 0.0, "ctime": 0.0, "user": "", "data": {}} | more


@pytest.fixture
def database():
    rows = [row(atoms) for atoms in structures()]
    rows[0] |= {"key_value_pairs": {"config_weight": 0.5}, "data": {"dipole": [1.0, 2.0, 3.0]}}
    put({"1": rows[0], "3": rows[1], "4": rows[2], "nextid": 5, "deleted_ids": [2], "metadata": {}})
    return "a.aselmdb"


def test_rows_come_back_exactly(database):
    found = read(database, Keys(weight=None))
    assert len(found) == 3 and not isinstance(found, list)
    for before, after in zip(configurations(), found, strict=True):
        assert_equal(before, after)
    assert found[2].name == "a.aselmdb, configuration 2"
    first = read(database, Keys(targets=["dipole"]))[0]
    assert first.targets["dipole"].tolist() == [1, 2, 3] and first.weights == Weights(*[0.5] * 3)
    assert sorted(path.name for path in Path().iterdir()) == ["a.aselmdb"]  # no lock file


def test_what_is_written_comes_back_exactly():
    some = configurations()
    some[2] = replace(some[2], fixed=np.zeros(len(some[2]), dtype=bool), weights=Weights(2, 1, 0))
    write_aselmdb(some, "set/a.aselmdb")
    assert sorted(path.name for path in Path("set").iterdir()) == ["a.aselmdb", "metadata.npz"]
    for before, after in zip(some, read("set"), strict=True):
        assert_equal(before, after)


def test_rows_are_those_of_ase():
    """As ase-db-backends stores them: the same keys, and rows that ASE turns into atoms."""
    slab = replace(configurations()[1], sid="random1", info={"charge": 1})
    write_aselmdb([slab], "a.aselmdb")
    with (
        lmdb.open("a.aselmdb", subdir=False, readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        found = {
            key.decode(): decode(zlib.decompress(value).decode())
            for key, value in transaction.cursor()
        }
    assert found.keys() == {"1", "nextid", "deleted_ids", "metadata"} and found["nextid"] == 2
    stored = AtomsRow({**found["1"], "id": 1})
    assert stored.data == {"sid": "random1", "charge": 1} and len(stored.unique_id) == 32
    assert stored.toatoms() == slab.to_atoms()
    np.testing.assert_array_equal(stored.constraints[0].index, np.flatnonzero(slab.fixed))
    assert stored.energy == slab.energy


def test_sizes_are_read_of_metadata(monkeypatch):
    """Of the whole folder, in the order of the names; without them rows are read."""
    some = configurations()
    write_aselmdb(some, "set/b.aselmdb")
    write_aselmdb(some[:1], "set/a.aselmdb")
    assert not Path("set/metadata.npz").exists()  # the sizes of one file are not those of both
    counts = [len(c) for c in [some[0], *some]]
    builder = GraphBuilder(sorted({s for c in some for s in c.to_atoms().symbols}), 3.0, 1)
    assert GraphDataset(read("set"), builder).sizes("atoms").tolist() == counts
    np.savez("set/metadata.npz", natoms=counts)
    found = read("set")
    monkeypatch.setattr(AseLmdbConfigurations, "read", None)
    assert GraphDataset(found, builder).sizes("atoms").tolist() == counts
    weighted = apply_weights(found, 2.0)
    assert GraphDataset(weighted, builder).sizes("atoms").tolist() == counts
    assert GraphDataset(found[1::2], builder).sizes("atoms").tolist() == counts[1::2]
    assert read("set/a.aselmdb").known_sizes is None  # 4 sizes are not those of one row
    for wrong in (np.array([1.5] * 4), np.zeros(4, dtype=int), np.ones((2, 2), dtype=int)):
        np.savez("set/metadata.npz", natoms=wrong)
        assert read("set").known_sizes is None
    Path("set/metadata.npz").write_bytes(b"nonsense")
    assert read("set").known_sizes is None


def test_sizes_belong_to_their_files():
    """Whatever the order in which the files are named; a list of other rows is not used."""
    some = configurations()
    write_aselmdb(some[:2], "set/a.aselmdb")
    write_aselmdb(some[2:], "set/b.aselmdb")
    np.savez("set/metadata.npz", natoms=[len(c) for c in some])
    turned = [some[2], *some[:2]]
    found = read(["set/b.aselmdb", "set/a.aselmdb"])
    assert found.known_sizes.tolist() == [len(c) for c in turned]
    np.savez("set/metadata.npz", natoms=[len(c) for c in turned])
    assert read("set").known_sizes is None


def test_a_failure_leaves_the_file_of_before():
    write_aselmdb(configurations(), "a.aselmdb")
    bad = Configuration([1], [[0, 0, 0]], targets={"forces": 1.0})
    with pytest.raises(TorchMLError, match="the target 'forces' cannot be written"):
        write_aselmdb([bad], "a.aselmdb")
    assert len(read("a.aselmdb")) == 3


def test_one_file_in_two_roles_and_two_workers(database):
    train, val = read(database), read([database, database])
    energies = [c.energy for c in train]
    for _ in range(2):
        loader = DataLoader(val, batch_size=None, num_workers=2, multiprocessing_context="fork")
        assert [c.energy for c in loader] == energies * 2
    assert [c.energy for c in train] == energies


def test_workers_that_are_spawned_open_the_file_again(database):
    """Without a DataLoader, whose workers import torch; each task has a new copy of both roles."""
    train, val = read(database), read([database, database])
    energies = [c.energy for c in train]
    tasks = [(part, k) for _ in range(2) for part in (train, val) for k in range(len(part))]
    with get_context("spawn").Pool(2) as pool:
        found = pool.starmap(getitem, tasks, chunksize=1)
    assert [c.energy for c in found] == energies * 6
    assert [c.energy for c in train] == energies


def test_files_without_write_permission(database):
    Path(database).chmod(0o400)
    Path().resolve().chmod(0o500)
    try:
        assert len(read(database)) == 3
    finally:
        Path().resolve().chmod(0o700)


def test_damage_is_named(database):
    put({"nextid": 9})
    with pytest.raises(TorchMLError, match="has 3 rows and announces 7"):
        read(database)
    put({"nextid": 5})
    put_bytes({"3": b"nonsense", "4": zlib.compress(b'{"numbers": [1]}')})
    found = read(database)
    with pytest.raises(TorchMLError, match=r"a\.aselmdb, key '3' cannot be read"):
        found[1]
    with pytest.raises(TorchMLError, match=r"a\.aselmdb, configuration 2 cannot be read"):
        found[2]
    put({"nextid": 1}, "b.aselmdb")
    with pytest.raises(TorchMLError, match=r"b\.aselmdb is empty"):
        read("b.aselmdb")
    Path("c.aselmdb").write_bytes(b"nonsense" * 4096)
    with pytest.raises(TorchMLError, match=r"c\.aselmdb cannot be read"):
        read("c.aselmdb")
