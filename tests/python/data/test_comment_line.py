"""The comment line of extended XYZ: what is read, and what is an error because it is not clear."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from helpers.comment_lines import check_any, check_well_formed, equal, mutated, values, well_formed
from torchml import TorchMLError
from torchml.data.formats.comment_line import parse, value_of

BOX = ' Lattice="1 0 0 0 1 0 0 0 1"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("config_type=", ""),
        ('config_type=""', ""),
        ("config_type=''", ""),
        ("config_type={}", ""),
        ("config_type=bulk", "bulk"),
        ("config_type = bulk", "bulk"),
        ('config_type="a = \\"b\\" \\\\ c"', 'a = "b" \\ c'),
        ("config_type='it is \"so\"'", 'it is "so"'),
        (r"config_type=C:\data", r"C:\data"),
        ("config_type=C[C@H](N)C(=O)O", "C[C@H](N)C(=O)O"),
        ("config_type", True),
        ("config_type=F", False),
        ("config_type=[T, F]", [True, False]),
        ("config_type={1 2 3}", [1, 2, 3]),
        ("config_type=[1,2.5]", [1, 2.5]),
        ("config_type=[1 2 3]", [1, 2, 3]),
        ("config_type=[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("config_type=[[1 2] [3 4]]", [[1, 2], [3, 4]]),
        ('config_type=["a]b", "c"]', ["a]b", "c"]),
        ('config_type="_JSON [[1.5, 2]]"', [[1.5, 2]]),
        ("config_type= -1.5e-3", -1.5e-3),
        ("config_type = 12", 12),
        ("config_type=1_000", "1_000"),
        ("config_type=1,2,3", [1, 2, 3]),
        ('"config type"=3', 3),
    ],
)
def test_values(text, expected):
    for line in (text + BOX, BOX + " " + text):
        name = "config type" if text.startswith('"') else "config_type"
        found = values(line)
        assert set(found) == {name, "Lattice"}
        if isinstance(expected, list) and isinstance(expected[0], str):
            assert found[name] == expected
        else:
            assert equal(found[name], expected)
        assert found["Lattice"].tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("energy=-1 energy=-1", "the key 'energy' is there twice"),
        ("relaxed relaxed", "the key 'relaxed' is there twice"),
        ('config_type="bulk', "opening quote"),
        ("config_type={bulk", r"opens '{', expected '}'"),
        ("config_type=[[1, 2]", r"opens '\[', expected '\]'"),
        ("config_type=[1, 2}", r"opens '\['"),
        ("config_type=[[[1 2]]]", "is no array"),
        ('config_type="a"b=c', "goes on after its value"),
        ('config_type=a"b c"', "goes on after its value"),
        ('con"fig', "a quote within a word"),
        ("config_type=bulkpbc=F", "contains a key"),
        ("config_type= bulk", "may be a value or a key"),
        ("pbc=T T F", "belongs to no key"),
        ("stress=1 2 3 4 5 6", "belongs to no key"),
        ("=5", "has no key"),
        ('""=5', "empty key"),
    ],
)
def test_what_is_not_clear_is_an_error(text, message):
    with pytest.raises(TorchMLError, match=message):
        parse(BOX + " " + text)


@pytest.mark.parametrize(
    "line", ["frame 1", "Si and C and O", "5' and \"6", "", "energy: -10.5 eV"]
)
def test_lines_without_equals_are_remarks(line):
    assert parse(line) == {}


def test_values_of_trajectories():
    line = " i =        7, time =        3.500, E =       -17.1635096472"
    assert values(line) == {"i": 7, "time": 3.5, "E": -17.1635096472}
    assert values("water's energy = -3 eV, eV as in [1]")["energy"] == -3
    with pytest.raises(TorchMLError, match="no '='"):
        parse("Lattice 5 0 0 0 5 0 0 0 5")
    with pytest.raises(TorchMLError, match="no '='"):
        parse("# CELL(abcABC): 10 10 10 90 90 90 Step: 0 Bead: 0 positions{angstrom}")


def test_numbers_keep_their_digits():
    assert value_of("12345678901234567890123") == 12345678901234567890123
    assert value_of("18446744073709551616 1").tolist() == [2.0**64, 1]
    assert value_of("0.1") == 0.1 and value_of("-0.0") == 0 and np.signbit(value_of("-0.0"))
    assert np.isnan(value_of("nan")) and value_of("1D+00") == "1D+00"


def test_random_lines_for_two_seconds():
    chance = random.Random(0)
    compared = 0
    end = time.monotonic() + 2
    while time.monotonic() < end:
        line, expected = well_formed(chance)
        check_well_formed(line, expected)
        compared += check_any(line) + check_any(mutated(chance, line))
    assert compared > 50
