"""Splits: complete, disjoint, the same for the same seed, and no guessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchml import TorchMLError
from torchml.data import Split


def sizes(split, count, **options):
    return [len(part) for part in split.indices(count, **options).values()]


@given(
    count=st.integers(20, 300),
    val=st.one_of(st.none(), st.integers(0, 9), st.floats(0.05, 0.4)),
    test=st.one_of(st.none(), st.integers(0, 9), st.floats(0.05, 0.4)),
    seed=st.integers(0, 5),
)
def test_parts_have_nothing_in_common_and_leave_nothing_out(count, val, test, seed):
    parts = Split(val=val, test=test, seed=seed).indices(count)
    assert list(parts) == ["train", "val", "test"]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(count))
    for part in parts.values():
        assert part.dtype == np.int64 and (np.diff(part) > 0).all()


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (Split(), [13, 0, 0]),
        (Split(val=2, test=3), [8, 2, 3]),
        (Split(train=5, val=2), [5, 2, 0]),
        (Split(0.8, 0.1, 0.1), [11, 1, 1]),
        (Split(0.5, 0.25, 0.25), [7, 3, 3]),
        (Split(0.5), [7, 0, 0]),
        (Split(1.0), [13, 0, 0]),
        (Split(train=4, val=0.5), [4, 7, 0]),
    ],
)
def test_sizes(split, expected):
    assert sizes(split, 13) == expected


def test_seeds():
    first = Split(val=30, seed=1).indices(100)
    assert all((first[k] == v).all() for k, v in Split(val=30, seed=1).indices(100).items())
    assert (first["val"] != Split(val=30, seed=2).indices(100)["val"]).any()
    # Not simply the first, the last or every third.
    assert 300 < first["val"].mean() * 10 < 700 and len(set(np.diff(first["val"]))) > 2


def test_learning_curves_are_measured_on_the_same_configurations():
    few, many = (Split(train=n, val=10, test=10).indices(100) for n in (10, 50))
    for part in ("val", "test"):
        assert (few[part] == many[part]).all()


def test_index_files():
    Path("train.txt").write_text("5\n3\n 4 \n")
    np.savetxt("val.txt", [0, 7])
    parts = Split("train.txt", "val.txt", 2).indices(9)
    assert parts["train"].tolist() == [5, 3, 4] and parts["val"].tolist() == [0, 7]
    assert set(parts["test"]) < {1, 2, 6, 8} and len(parts["test"]) == 2
    assert sorted(Split(val="val.txt").indices(9)["train"]) == [1, 2, 3, 4, 5, 6, 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "val.txt is empty"),
        ("1 2 1", "val.txt holds the index 1 2 times"),
        ("1 9", "val.txt holds the index 9, expected 0 to 8"),
        ("-1", "val.txt holds the index -1"),
        ("1.5", "val.txt holds '1.5'"),
        ("a b", "val.txt holds 'a'"),
        ("4", "the index 4 is in train.txt and in val.txt"),
        (None, "val.txt cannot be read"),
    ],
)
def test_bad_index_files(text, message):
    Path("train.txt").write_text("3 4")
    if text is not None:
        Path("val.txt").write_text(text)
    with pytest.raises(TorchMLError, match=message):
        Split("train.txt", "val.txt").indices(9)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(8, 2, 4), r"8 to train \+ 2 to val \+ 4 to test, but there are 13"),
        (Split(0.9, 0.2), "but there are 13"),
        (Split(val=13), "leaves none of 13"),
        (Split(train=0), "leaves none of 13"),
        (Split(val=-1), "split.val is -1"),
        (Split(val=1.5), "split.val is 1.5"),
        (Split(val=float("nan")), "split.val is nan"),
        (Split(val=True), "split.val is True"),
        (Split(test=0.01), "split.test is 0.01 of 13 configurations, which is none"),
    ],
)
def test_what_cannot_be_cut(split, message):
    with pytest.raises(TorchMLError, match=message):
        split.indices(13)


def test_parts_with_files_of_their_own_are_not_cut():
    assert sizes(Split(test=3), 13, parts={"test"}) == [10, 0, 3]
    with pytest.raises(TorchMLError, match=r"split\.val is 2, but val has files of its own"):
        Split(val=2, test=3).indices(13, parts={"test"})
