"""Parquet: exact round trips, and tables that others have written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from helpers.labelled import assert_equal, configurations
from torchml import TorchMLError
from torchml.data import Configuration, Keys, Weights, read, write_parquet


def test_round_trips_are_exact(tmp_path):
    some = configurations()
    some.append(
        Configuration([1], [[0, 0, 0.1]], weights=Weights(forces=0.3), group="atom", energy=0.1)
    )
    write_parquet(some, "a.parquet")
    for k, (before, after) in enumerate(zip(some, read("a.parquet"), strict=True)):
        assert_equal(before, after)
        assert after.name == f"a.parquet, configuration {k}"
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_targets_of_any_length():
    some = [
        Configuration(np.ones(n), np.eye(3)[:n], targets={"charge": n, "charges": np.arange(n) / 3})
        for n in (1, 2, 3)
    ]
    write_parquet(some, "a.parquet")
    for before, after in zip(
        some, read("a.parquet", Keys(targets=["charge", "charges"])), strict=True
    ):
        assert_equal(before, after)


def test_tables_of_others():
    numbers = [[1, 8], [6], [7, 7, 7]]
    flat = [list(np.arange(3.0 * len(row))) for row in numbers]
    columns = {
        "atomic_numbers": pyarrow.array(numbers, pyarrow.list_(pyarrow.int8())),
        "pos": pyarrow.array(flat, pyarrow.large_list(pyarrow.float32())),
        "cell": pyarrow.array([None, [[2.0, 0, 0], [0, 3, 0], [0, 0, 4]], None]),
        "atomic_forces": [np.reshape(row, (-1, 3)).tolist() for row in flat],
        "cauchy_stress": pyarrow.array(
            [None, np.arange(9.0), None], pyarrow.list_(pyarrow.float64(), 9)
        ),
        "y": pyarrow.array([-1.0, -2.0, None], pyarrow.float32()),
        "names": ["a", "b", "c"],
    }
    parquet.write_table(pyarrow.table(columns), "a.parquet", row_group_size=2)
    found = read("a.parquet", Keys(energy="y", energy_unit="kcal/mol"))
    assert [c.numbers.tolist() for c in found] == numbers
    assert found[0].energy == pytest.approx(-1 / 23.0605, rel=1e-5) and found[2].energy is None
    for c, row in zip(found, flat, strict=True):
        assert c.positions.ravel().tolist() == row
        np.testing.assert_allclose(c.forces.ravel(), np.array(row) / 23.0605, rtol=1e-5)
    assert found[1].pbc.all() and not found[0].pbc.any()
    assert found[1].volume == pytest.approx(24)
    np.testing.assert_allclose(found[1].stress * 23.0605, [0, 4, 8, 6, 4, 2], rtol=1e-5)


def table(**change):
    columns = {"symbols": [["H"], ["O", "H"]], "positions": [[[0, 0, 0]], [[0, 0, 0], [0, 0, 1]]]}
    columns |= change
    parquet.write_table(pyarrow.table({k: v for k, v in columns.items() if v}), "bad.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbols": None}, "configuration 0 has no 'atomic_numbers', it has positions"),
        ({"symbols": [["H"], ["O", "Xx"]]}, "configuration 1: 'Xx' is not an element"),
        ({"positions": [[[0, 0, 0]], [[0, 0, 0]]]}, "configuration 1: positions holds 3 numbers"),
        ({"positions": [b"000", b"000"]}, "configuration 0: positions holds 1 numbers"),
        ({"energy": [0.0, float("nan")]}, "configuration 1: energy is nan"),
        ({"forces": [[0, 0, 0], [0, 0, 0]]}, "configuration 1: forces holds 3 numbers for 2 atoms"),
        ({"energy": ["low", "high"]}, "configuration 0: energy is 'low', expected numbers"),
        ({"symbols": [[], ["H"]], "positions": [[], [[0, 0, 0]]]}, "configuration 0 has no atoms"),
    ],
)
def test_errors_say_where(change, message):
    table(**change)
    with pytest.raises(TorchMLError, match=f"bad.parquet.*{message}"):
        read("bad.parquet")


def test_files_that_are_empty_or_cut_short():
    write_parquet(configurations(), "a.parquet")
    whole = Path("a.parquet").read_bytes()
    for size in (0, len(whole) // 2):
        Path("cut.parquet").write_bytes(whole[:size])
        with pytest.raises(TorchMLError, match=r"^cut\.parquet cannot be read as parquet"):
            read("cut.parquet")
    parquet.write_table(
        pyarrow.table({"energy": pyarrow.array([], pyarrow.float64())}), "b.parquet"
    )
    with pytest.raises(TorchMLError, match=r"b\.parquet is empty"):
        read("b.parquet")
    with pytest.raises(TorchMLError, match=r"no 'E' \(keys.energy\), it has 'energy'"):
        read("b.parquet", Keys(energy="E"))


@pytest.mark.parametrize("charge", ["neutral", 2**70])
def test_columns_that_cannot_be_are_named(charge):
    some = [Configuration([1], [[0, 0, k]], info={"charge": v}) for k, v in ((0, 1), (1, charge))]
    with pytest.raises(TorchMLError, match=r"a\.parquet: 'charge' cannot be a column"):
        write_parquet(some, "a.parquet")
    assert not Path("a.parquet").exists()
