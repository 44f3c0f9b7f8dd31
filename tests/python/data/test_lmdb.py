"""LMDB rows as the Open Catalyst Project and others have them, and pickles that mean harm."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import sys
import types
from dataclasses import dataclass, replace
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from helpers.labelled import assert_equal, configurations
from torchml import TorchMLError
from torchml.data import Configuration, Keys, Weights, apply_weights, read, write_lmdb
from torchml.data.formats.unpickling import unpickle


def write_rows(path, rows, length=None, protocol=4):
    environment = lmdb.open(str(path), subdir=False, lock=False, map_size=1 << 24)
    with environment.begin(write=True) as transaction:
        for key, row in rows.items() if isinstance(rows, dict) else enumerate(rows):
            data = row if isinstance(row, bytes) else pickle.dumps(row, protocol=protocol)
            transaction.put(str(key).encode(), data)
        if length is not None:
            transaction.put(b"length", pickle.dumps(length))
    environment.close()


def ocp_fields(c, index=0):
    """What OCP's preprocessing puts into a row, in its types."""
    fixed = np.zeros(len(c)) if c.fixed is None else c.fixed
    return {
        "pos": torch.tensor(c.positions),
        "cell": torch.tensor(c.cell)[None],
        "atomic_numbers": torch.tensor(c.numbers, dtype=torch.float32),
        "natoms": len(c),
        "tags": torch.tensor(c.tags if c.tags is not None else np.zeros(len(c), dtype=int)),
        "edge_index": torch.zeros((2, 5), dtype=torch.int64),
        "y": c.energy,
        "force": torch.tensor(c.forces),
        "fixed": torch.tensor(fixed, dtype=torch.float32),
        "sid": index,
        "fid": 0,
    }


@pytest.fixture
def geometric(monkeypatch):
    """Classes that pickle as torch_geometric's of before and since version 2, and munch's."""
    modules = {
        name: types.ModuleType(name)
        for name in (
            *("torch_geometric", "torch_geometric.data", "torch_geometric.data.data"),
            *("torch_geometric.data.storage", "munch"),
        )
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)

    def public(module, name, bases=(), body=None):
        kind = type(name, bases, {"__module__": module, "__qualname__": name, **(body or {})})
        setattr(modules[module], name, kind)
        return kind

    data = public("torch_geometric.data.data", "Data")
    storage = public("torch_geometric.data.storage", "GlobalStorage")
    munch = public("munch", "Munch", (dict,))

    def old(fields):
        one = data()
        one.__dict__ |= {"x": None, "edge_attr": None, **fields}
        return one

    def new(fields):
        one, inner = data(), storage()
        inner.__dict__ |= {"_mapping": dict(fields), "_parent": one}
        one.__dict__ |= {"_store": inner}
        return one

    return {"old": old, "new": new, "munch": munch, "dict": dict}


@pytest.mark.parametrize("kind", ["old", "new", "munch", "dict"])
@pytest.mark.parametrize("protocol", [1, 2, 4, 5])
def test_rows_of_ocp(geometric, monkeypatch, kind, protocol):
    some = configurations()[:2]
    rows = [geometric[kind](ocp_fields(c, k)) for k, c in enumerate(some)]
    write_rows("data.lmdb", rows, length=2, protocol=protocol)
    for name in [name for name in sys.modules if name.startswith(("torch_geometric", "munch"))]:
        monkeypatch.setitem(sys.modules, name, None)  # importing it would be an error now
    found = read("data.lmdb")
    assert len(found) == 2
    for k, (before, after) in enumerate(zip(some, found, strict=True)):
        assert after.name == f"data.lmdb, configuration {k}"
        for name in ("numbers", "positions", "cell", "forces"):
            assert getattr(before, name).tobytes() == getattr(after, name).tobytes()
        assert before.energy == after.energy and after.pbc.all()
        assert after.fixed.tolist() == (before.fixed if k else after.fixed & False).tolist()
    assert found[1].tags.tolist() == some[1].tags.tolist()
    assert found[-1].energy == some[1].energy and [c.index for c in found[1:]] == [1]
    with pytest.raises(IndexError):
        found[2]


def test_rows_of_the_installed_torch_geometric():
    data = pytest.importorskip("torch_geometric.data").Data
    c = configurations()[0]
    write_rows("data.lmdb", [data(**ocp_fields(c))])
    assert read("data.lmdb")[0].forces.tobytes() == c.forces.tobytes()


def test_relaxations():
    c = configurations()[1]
    fields = ocp_fields(c) | {"y_init": 2.0, "y_relaxed": 1.0, "pos_relaxed": torch.ones(10, 3)}
    del fields["y"], fields["force"]
    write_rows("data.lmdb", [fields])
    assert read("data.lmdb")[0].energy is None
    found = read("data.lmdb", Keys(energy="y_relaxed", targets=["y_init", "pos_relaxed"]))[0]
    assert found.energy == 1.0 and found.targets["y_init"] == 2.0
    assert found.targets["pos_relaxed"].tolist() == np.ones((10, 3)).tolist()
    with pytest.raises(TorchMLError, match=r"no 'energy' \(keys.energy\), it has .*'y_init'"):
        read("data.lmdb", Keys(energy="energy"))


def test_rows_of_other_data_sets():
    c = configurations()[0]
    row = {
        "pos": torch.tensor(c.positions, dtype=torch.float32),
        "cell": torch.tensor(c.cell),
        "atomic_numbers": torch.tensor(c.numbers),
        "energy": np.float64(c.energy),
        "force": torch.tensor(c.forces),
        "pbc": torch.tensor([True, True, False]),
    }
    write_rows("data.lmdb", {str(k): row for k in (0, 1, 10, 3)})
    found = read("data.lmdb")
    assert len(found) == 4 and found[3].energy == c.energy
    assert found[0].pbc.tolist() == [True, True, False]
    assert found[0].positions.dtype == np.float64


def test_round_trips_are_exact(tmp_path):
    first, *others = configurations()
    some = apply_weights([first], {"forces": 0.25}) + others
    spins = np.random.default_rng(0).normal(size=(len(first), 2))
    some.append(
        Configuration(first.numbers, first.positions, targets={"spins": spins}, group="hot")
    )
    some = [replace(c, sid="0", fid=str(k)) for k, c in enumerate(some)]
    write_lmdb(some, "data.lmdb")
    assert [path.name for path in tmp_path.iterdir()] == ["data.lmdb"]
    # A target that only some rows have can be asked for as long as the first has it.
    for before, after in zip(some[:3], read("data.lmdb"), strict=False):
        assert_equal(before, after)
    write_lmdb(some[3:], "hot.lmdb")
    assert_equal(some[3], read("hot.lmdb", Keys(targets=["spins"]))[0])


def test_readers_of_ocp_find_what_they_expect():
    slab = configurations()[1]
    write_lmdb([slab], "data.lmdb")
    environment = lmdb.open("data.lmdb", subdir=False, readonly=True, lock=False)
    with environment.begin() as transaction:
        assert pickle.loads(transaction.get(b"length")) == 1
        row = pickle.loads(transaction.get(b"0"))
    environment.close()
    assert row["cell"].shape == (1, 3, 3) and row["natoms"] == 10
    assert row["y"] == slab.energy and (row["force"] == slab.forces).all()
    assert row["fixed"].tolist() == slab.fixed.astype(int).tolist()


def test_a_file_larger_than_the_first_map():
    big = Configuration(np.ones(100_000), np.zeros((100_000, 3)))
    write_lmdb([big] * 30, "big.lmdb")  # 96 MB
    assert len(read("big.lmdb")) == 30


def test_a_folder_of_files_is_one_sequence():
    some = configurations()
    Path("set").mkdir()
    write_lmdb(some[:2], "set/data.0001.lmdb")
    write_lmdb(some[2:], "set/data.0000.lmdb")
    Path("set/data.0000.lmdb-lock").touch()
    found = read("set")
    assert [c.energy for c in found] == [some[k].energy for k in (2, 0, 1)]
    assert found[-1].name == f"{Path('set/data.0001.lmdb')}, configuration 1"
    assert [c.energy for c in found[::-2]] == [some[1].energy, some[2].energy]


def test_workers_and_copies_open_the_file_again():
    write_lmdb(configurations(), "data.lmdb")
    found = read(["data.lmdb", "data.lmdb"])
    energies = [c.energy for c in found]
    copied = pickle.loads(pickle.dumps(found))
    assert [c.energy for c in copied] == energies
    for start in ("fork", "spawn"):
        loader = DataLoader(found, batch_size=None, num_workers=1, multiprocessing_context=start)
        assert [c.energy for c in loader] == energies


def test_a_file_that_was_replaced_is_read_anew():
    some = configurations()
    write_lmdb(some, "data.lmdb")
    before = read("data.lmdb")
    write_lmdb(some[2:], "data.lmdb")
    assert len(read("data.lmdb")) == 1 and len(before) == 3
    assert before[1].energy == some[1].energy


class Evil:
    """Leaves a file when it is unpickled by the usual means."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def evil_storage():
    """A tensor whose storage is itself a pickle with a call in it."""
    inner = io.BytesIO()
    torch.save(Evil(), inner, _use_new_zipfile_serialization=False)

    class Outer:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (inner.getvalue(),)

    return {"pos": Outer()}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Evil(), "posix.mkdir"),
        ({"pos": [Evil()]}, "posix.mkdir"),
        (evil_storage(), "posix.mkdir"),
        (b"cos\nmkdir\n(S'executed'\ntR.", "os.mkdir"),
        (b"\x80\x04cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x04cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"\x80\x04ctorch\nload\n.", "torch.load"),
        (b"\x80\x04cnumpy\nload\n.", "numpy.load"),
        (b"\x80\x04\x8c\x05torch\x8c\x0ehub.load_state\x93.", "torch.hub.load_state"),
        # Setting attributes of the functions that are allowed, which others use too.
        (b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\nN}X\x05\x00\x00\x00_callNs\x86b.", "_call"),
        (b"\x80\x04K\x01Q.", "references to objects outside of it"),
        (pickle.dumps(Path("a")), "pathlib"),
        ({"pos": np.array([{}])}, "an array of the type 'O8'"),
        ({"pos": np.zeros(1, dtype="f8,i4")}, "an array of the type 'V12'"),
        (b"\x80\x04cnumpy\nndarray\n)R.", "not callable"),
    ],
)
def test_pickles_that_mean_harm_are_refused_and_not_run(row, message):
    data = row if isinstance(row, bytes) else pickle.dumps(row)
    write_rows("bad.lmdb", [{"pos": np.zeros((1, 3)), "atomic_numbers": np.ones(1)}, data])
    found = read("bad.lmdb")
    assert found[0].energy is None
    with pytest.raises(TorchMLError, match=message) as caught:
        found[1]
    assert "bad.lmdb, key '1'" in str(caught.value)
    assert not Path("executed").exists()


def test_the_harm_is_real():
    pickle.loads(pickle.dumps({"pos": [Evil()]}))
    assert Path("executed").is_dir()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        np.arange(3, dtype=">f4"),
        np.array([True, False]),
        np.array(["Cu", "O"]),
        np.zeros((0, 3)),
        np.float64(0.1),
        np.int64(-7),
        torch.arange(6, dtype=torch.float64).reshape(2, 3).T,
        torch.tensor([True]),
        torch.arange(9)[2:7:2],
        {"a": [1, (2.5, None, True)], "b": {"text": "Å"}},
        {1, 2},
        b"bytes",
    ],
)
def test_what_data_is_made_of_comes_back(value, protocol):
    found = unpickle(pickle.dumps(value, protocol=protocol), "row")
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        assert found.dtype.itemsize == value.dtype.itemsize and found.shape == value.shape
        assert (np.asarray(found) == np.asarray(value)).all()
    else:
        assert found == value


def test_tensors_stay_within_their_storage():
    @dataclass
    class Part:
        size: tuple[int, ...]
        stride: tuple[int, ...]

        def __reduce__(self):
            function, (storage, *_) = torch.arange(4.0).__reduce_ex__(4)
            return function, (storage, 2, self.size, self.stride, False, {})

    for size, stride in (((3,), (1,)), ((2, 2), (2, 1)), ((2,), (-1,))):
        with pytest.raises(TorchMLError, match="larger than its storage"):
            unpickle(pickle.dumps(Part(size, stride)), "row")
    assert unpickle(pickle.dumps(Part((2,), (1,))), "row").tolist() == [2, 3]


def test_a_pickle_cannot_change_what_the_next_one_means():
    with pytest.raises(TorchMLError):
        unpickle(b"\x80\x04cmunch\nMunch\nN}X\x06\x00\x00\x00updateNs\x86b.", "row")
    assert unpickle(b"\x80\x04cmunch\nMunch\n)\x81}X\x01\x00\x00\x00aK\x01sb.", "row") == {"a": 1}


def rows_of(**change):
    fields = {"pos": np.zeros((2, 3)), "atomic_numbers": np.ones(2), "force": np.zeros((2, 3))}
    return [{name: value for name, value in (fields | change).items() if value is not None}]


@pytest.mark.parametrize(
    ("rows", "length", "message"),
    [
        ([], None, "is empty"),
        ([], 0, "is empty"),
        (rows_of(), 5, "2 entries and a length of 5"),
        (rows_of(), -1, "a length of -1"),
        ({"a": 1, "b": 2}, None, "0 rows among its 2 entries"),
        (rows_of(pos=None), None, "configuration 0 has no 'pos', it has 'atomic_numbers', 'force'"),
        (rows_of(pos=np.zeros((3, 3))), None, "positions hold 9 numbers for 2 atoms"),
        (rows_of(force=np.zeros((1, 3))), None, "force holds 3 numbers for 2 atoms, expected 6"),
        (rows_of(cell=np.eye(2)), None, "cell holds 4 numbers"),
        (rows_of(atomic_numbers=np.zeros(2)), None, "atom 0 has the atomic number 0"),
        (rows_of(y=float("nan")), None, "configuration 0: energy is nan"),
        ([[1, 2]], None, "key '0' holds no named values"),
        ([b"nonsense"], None, "key '0' cannot be read"),
        ([pickle.dumps(rows_of()[0])[:-40]], None, "key '0' cannot be read"),
    ],
)
def test_errors_say_where(rows, length, message):
    write_rows("bad.lmdb", rows, length)
    with pytest.raises(TorchMLError, match=message) as caught:
        list(read("bad.lmdb"))
    assert "bad.lmdb" in str(caught.value)


def test_files_that_were_cut_short_are_errors_and_not_crashes():
    write_lmdb(configurations() * 20, "data.lmdb")
    whole = Path("data.lmdb").read_bytes()
    for size in (0, 100, 8192, len(whole) // 2, len(whole) - 4096):
        Path(f"{size}.lmdb").write_bytes(whole[:size])
        with pytest.raises(TorchMLError, match=f"{size}.lmdb.*(cut short|cannot be read|empty)"):
            read(f"{size}.lmdb")


def read_all(paths, results):
    failures = 0
    for path in paths:
        try:
            list(read(path))
        except TorchMLError:
            failures += 1
    results.put(failures)


def test_damaged_files_are_errors_and_not_crashes():
    write_lmdb(configurations() * 20, "data.lmdb")
    whole = Path("data.lmdb").read_bytes()
    rng = np.random.default_rng(1)
    paths = []
    for k in range(20):
        damaged = bytearray(whole)
        for place in rng.integers(8192, len(whole), 100):
            damaged[place] = rng.integers(256)
        paths.append(f"damaged{k}.lmdb")
        Path(paths[-1]).write_bytes(damaged)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=read_all, args=(paths, results))
    process.start()
    process.join(20)
    assert process.exitcode == 0 and results.get(timeout=5) > 0


def test_weights_of_lazy_sequences():
    write_lmdb(configurations(), "data.lmdb")
    weighted = apply_weights(read("data.lmdb"), [Weights(k, 1, 1) for k in range(3)])
    assert not isinstance(weighted, list)
    assert [c.weights.energy for c in weighted] == [0, 1, 2]
