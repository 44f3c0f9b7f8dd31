"""`torchml data split` and `subsample`: which configurations, and what is kept of them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import lmdb
import numpy as np
import pytest

from helpers.labelled import assert_equal, configurations
from torchml import TorchMLError, cli
from torchml.data import Configuration, read, write_aselmdb, write_extxyz
from torchml.data.tools import selection


@pytest.fixture
def data() -> list[Configuration]:
    """20 configurations with ids in the file a.xyz; five systems of four frames."""
    slab = configurations()[1]
    some = [
        replace(
            slab,
            positions=slab.positions + 0.01 * k,
            energy=float(k**2),
            sid=f"s{k // 4}",
            fid=str(k % 4),
            group="hot" if k < 5 else "cold",
        )
        for k in range(20)
    ]
    write_extxyz(some, "a.xyz")
    return some


def run(*words: str) -> int:
    return cli.main(["data", *words])


def numbers(path: str) -> list[int]:
    return [round(c.energy**0.5) for c in read(path)]


@pytest.mark.parametrize("format", ["extxyz", "lmdb", "aselmdb", "parquet"])
def test_parts_are_disjoint_complete_and_exact(data, format, capsys):
    folder = format in ("lmdb", "aselmdb")
    words = ("split", "a.xyz", "-o", "parts", "--to", format, "--val", "0.2", "--test", "3")
    assert run(*words, "--seed", "4") == 0
    names = {part: f"parts/{part}" + ("" if folder else f".{format}") for part in PARTS}
    found = {part: numbers(path) for part, path in names.items()}
    assert [len(values) for values in found.values()] == [13, 4, 3]
    assert sorted(k for values in found.values() for k in values) == list(range(20))
    for path in names.values():
        for c in read(path):
            assert_equal(data[round(c.energy**0.5)], c)
    assert "13 of 20 configurations" in capsys.readouterr().out
    assert run(*words) == 1 and "exists, expected another name" in capsys.readouterr().err
    assert run(*words, "--seed", "5", "--force") == 0
    assert {part: numbers(path) for part, path in names.items()} != found
    if folder:
        inside = {"data.0000." + format} | ({"metadata.npz"} if format == "aselmdb" else set())
        assert {path.name for path in Path("parts/val").iterdir()} == inside


PARTS = ("train", "val", "test")


def test_lmdb_parts_name_their_origin(data):
    assert run("split", "a.xyz", "-o", "parts", "--to", "lmdb", "--val", "4") == 0
    with (
        lmdb.open("parts/val/data.0000.lmdb", subdir=False, readonly=True, lock=False) as file,
        file.begin() as transaction,
    ):
        stored = {
            name: pickle.loads(transaction.get(name.encode()))
            for name in ("length", "origin_file", "origin_indices")
        }
    assert stored["length"] == 4 and stored["origin_file"] == "a.xyz"
    assert stored["origin_indices"] == numbers("parts/val") and not Path("parts/test").exists()


def test_systems_stay_together(data, capsys):
    words = ("split", "a.xyz", "-o", "parts", "--by", "sid")
    assert run(*words, "--val", "0.2", "--test", "0.2") == 0
    systems = [{c.sid for c in read(f"parts/{part}.extxyz")} for part in PARTS]
    assert [len(names) for names in systems] == [3, 1, 1] and len(set.union(*systems)) == 5
    assert run(*words, "--val", "3", "--force") == 1
    assert "--val is 3, expected a fraction between 0 and 1" in capsys.readouterr().err
    write_extxyz([replace(data[0], sid=None)], "b.xyz")
    assert run("split", "b.xyz", "-o", "other", "--by", "sid", "--val", "0.5") == 1
    assert "b.xyz, configuration 0 has no sid" in capsys.readouterr().err


def test_a_split_that_cannot_be_is_one_sentence(data, capsys):
    Path("busy").mkdir()
    Path("busy/train").mkdir()
    Path("busy/train/old.lmdb").touch()
    for words, message in (
        (("-o", "parts"), "neither --val nor --test"),
        (("-o", "parts", "--val", "30"), "asks for 30 to val, but there are 20"),
        (("-o", "p.lmdb", "--val", "1"), "expected the name of a folder"),
        (("-o", "busy", "--val", "1", "--to", "lmdb", "--force"), "busy/train contains old.lmdb"),
    ):
        assert run("split", "a.xyz", *words) == 1
        assert message in capsys.readouterr().err
    assert not Path("parts").exists()


def test_subsamples(data, capsys):
    assert run("subsample", "a.xyz", "-o", "b.lmdb", "--every", "6") == 0
    assert numbers("b.lmdb") == [0, 6, 12, 18]
    for before, after in zip(data[::6], read("b.lmdb"), strict=True):
        assert_equal(before, after)
    assert run("subsample", "a.xyz", "-o", "c.xyz", "--count", "7", "--seed", "2") == 0
    found = numbers("c.xyz")
    assert len(set(found)) == 7 and found == sorted(found)
    assert run("subsample", "a.xyz", "-o", "d.xyz", "--count", "3", "--by", "sid") == 0
    assert [k // 4 for k in numbers("d.xyz")] == sorted([0, 1, 2, 3, 4] * 3)
    assert run("subsample", "a.xyz", "-o", "e.xyz", "--count", "2", "--farthest") == 0
    assert 19 in numbers("e.xyz")  # energies grow quadratically
    capsys.readouterr()
    for words, message in (
        (("--count", "21"), "21 configurations are asked for, expected 1 to 20"),
        ((), "either --count or --every"),
        (("--every", "0"), "--every is 0, expected 1 or more"),
        (("--every", "2", "--farthest"), "expected --count with --by or --farthest"),
    ):
        assert run("subsample", "a.xyz", "-o", "z.xyz", *words) == 1
        assert message in capsys.readouterr().err
    assert not Path("z.xyz").exists()


def test_farthest_points_cover_all_clusters():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    points = np.repeat(centres, [97, 1, 1, 1], axis=0) + rng.normal(scale=0.1, size=(100, 2))
    chosen = selection.farthest(points, 4, seed=3)
    assert chosen[1:].tolist() == [97, 98, 99] and chosen[0] < 97
    assert len(set(selection.farthest(np.zeros((9, 2)), 9, seed=1).tolist())) == 9


def test_features_are_composition_and_what_a_fit_of_elements_leaves():
    a, b, c = configurations()
    some = [replace(one, energy=3.0 * len(one)) for one in (a, b, c, a, b)]
    features = selection.describe(some)
    np.testing.assert_allclose(features.sum(axis=1), 1)  # the fit is exact: no energy is left
    some[0] = replace(a, energy=3.0 * len(a) + 5)
    assert selection.describe(some).shape[1] == features.shape[1] + 1
    assert selection.describe([*some, replace(a, energy=None)]).shape == (6, features.shape[1])


def test_groups_of_unequal_size():
    names = ["big"] * 8 + ["a", "b"]
    found = selection.split_by_groups(names, {"train": 0.8, "val": 0.1, "test": 0.1}, seed=0)
    assert found["train"].tolist() == list(range(8))
    assert sorted([*found["val"], *found["test"]]) == [8, 9]
    few = ["a"] * 9 + ["b"] * 8 + ["c"] * 7
    found = selection.split_by_groups(few, {"train": 0.9, "val": 0.05, "test": 0.05}, seed=0)
    assert [len(found[part]) for part in PARTS] == [9, 7, 8]
    with pytest.raises(TorchMLError, match="there are 1 groups for train, val, expected"):
        selection.split_by_groups(["x"] * 5, {"train": 0.5, "val": 0.5, "test": 0.0}, seed=0)


def test_frames_of_a_database_that_is_read_on_demand(data):
    write_aselmdb(data, "set/a.aselmdb")
    assert run("subsample", "set", "-o", "b.aselmdb", "--every", "5") == 0
    assert numbers("b.aselmdb") == [0, 5, 10, 15]


def test_no_part_is_empty_and_none_is_of_another_split(data, capsys):
    for words in (("--val", "5", "--test", "0"), ("--val", "0.2", "--test", "0.0", "--by", "sid")):
        assert run("split", "a.xyz", "-o", "parts", *words) == 1
        assert "--test leaves none of 20 configurations to test" in capsys.readouterr().err
    assert not Path("parts").exists()
    assert run("split", "a.xyz", "-o", "parts", "--val", "5", "--test", "2") == 0
    assert run("split", "a.xyz", "-o", "parts", "--val", "5", "--seed", "1", "--force") == 1
    assert "parts contains test.extxyz, which is of another split" in capsys.readouterr().err
