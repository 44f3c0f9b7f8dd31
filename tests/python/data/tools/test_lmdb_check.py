"""`torchml data lmdb-check`: faults of files are named by row, and nothing in them runs."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest

from helpers.labelled import configurations
from torchml import cli
from torchml.data import write_aselmdb, write_extxyz, write_lmdb

WRITERS = {"lmdb": write_lmdb, "aselmdb": write_aselmdb}


def check(*words: str) -> int:
    return cli.main(["data", "lmdb-check", *words])


def change(path: str, entries: dict[bytes, bytes | None]) -> None:
    with (
        lmdb.open(path, subdir=False, lock=False, map_size=1 << 26) as file,
        file.begin(write=True) as transaction,
    ):
        for key, value in entries.items():
            transaction.put(key, value) if value is not None else transaction.delete(key)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("format", WRITERS)
def test_good_files_pass(format, capsys):
    WRITERS[format](configurations(), f"set/a.{format}")
    assert check("set") == 0
    assert capsys.readouterr().out == f"set/a.{format}: 3 rows, 0 faults\n"


def test_damaged_and_harmful_rows_are_named(capsys):
    write_lmdb(configurations() * 2, "a.lmdb")
    change("a.lmdb", {b"0": b"nonsense", b"2": None, b"4": pickle.dumps(Harmful())})
    assert check("a.lmdb") == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "a.lmdb: 6 rows, 3 faults"
    assert "row 0: a.lmdb, key '0' cannot be read" in shown[1]
    assert "row 2: a.lmdb, key '2' is missing" in shown[2]
    assert "row 4: " in shown[3] and "mkdir, which is not allowed" in shown[3]
    assert not Path("harm").exists()


def test_damaged_rows_of_a_database(capsys):
    write_aselmdb(configurations(), "a.aselmdb")
    change("a.aselmdb", {b"1": b"nonsense", b"3": b""})
    assert check("a.aselmdb") == 1
    shown = capsys.readouterr().out
    assert "3 rows, 2 faults" in shown and "row 0: " in shown and "row 2: " in shown


def test_missing_targets_and_length(capsys):
    first, *others = configurations()
    relaxed = {"energy": None, "forces": None, "relaxed_energy": 1.0}
    write_lmdb([first, *(replace(c, forces=None) for c in others)], "a.lmdb")
    change("a.lmdb", {b"length": None})
    write_lmdb([replace(c, **relaxed) for c in configurations()], "b.lmdb")
    change("b.lmdb", {b"length": None})
    assert check("a.lmdb", "b.lmdb") == 1
    shown = capsys.readouterr().out
    assert "row 1: a.lmdb, configuration 1 has no forces" in shown and "row 0" not in shown
    assert "a.lmdb has no key 'length'" in shown and "b.lmdb: 3 rows, 0 faults" in shown
    assert check("b.lmdb", "--task", "is2rs") == 1
    assert "row 2: b.lmdb, configuration 2 has no pos_relaxed" in capsys.readouterr().out
    assert check("b.lmdb", "--task", "none") == 0


@pytest.mark.parametrize("format", WRITERS)
def test_a_truncated_file_does_not_hide_the_others(format, capsys):
    WRITERS[format](configurations() * 20, f"a.{format}")
    WRITERS[format](configurations(), f"b.{format}")
    with Path(f"a.{format}").open("r+b") as file:
        file.truncate(Path(f"a.{format}").stat().st_size // 2)
    assert check(f"a.{format}", f"b.{format}") == 1
    shown = capsys.readouterr().out
    assert f"a.{format}: 0 rows, 1 faults" in shown and "it has been cut short" in shown
    assert f"b.{format}: 3 rows, 0 faults" in shown


def test_other_formats_are_faults(capsys):
    write_extxyz(configurations(), "a.xyz")
    assert check("a.xyz") == 1
    assert "a.xyz is extxyz, expected LMDB" in capsys.readouterr().out
    assert check("none.lmdb") == 1
    assert "none.lmdb does not exist" in capsys.readouterr().err


def test_rows_without_a_task_must_have_what_any_row_has(capsys):
    first, *others = [replace(c, forces=None) for c in configurations()]
    write_lmdb([first, *others], "a.lmdb")
    assert check("a.lmdb") == 0  # energies alone are a data set, too
    write_lmdb([replace(first, energy=None), *others], "a.lmdb")
    assert check("a.lmdb") == 1
    assert "row 0: a.lmdb, configuration 0 has no energy" in capsys.readouterr().out
