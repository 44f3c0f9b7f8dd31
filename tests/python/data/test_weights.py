"""Weights of configurations: numbers, mappings, and the files that KLIFF reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.labelled import assert_equal, configurations
from torchml import TorchMLError
from torchml.data import Weights, apply_weights, read_weights


def file(text, name="weights.dat"):
    Path(name).write_text(text)
    return name


def test_numbers_and_mappings():
    some = configurations()
    for weights, expected in (
        (2, Weights(2, 2, 2)),
        ({"forces": 10.0}, Weights(1, 10, 1)),
        ({"config": 0.5, "energy": 4, "stress": 0}, Weights(2, 0.5, 0)),
        (Weights(1, 2, 3), Weights(1, 2, 3)),
    ):
        assert [c.weights for c in apply_weights(some, weights)] == [expected] * 3
    one, two, three = (Weights(k) for k in range(3))
    found = apply_weights(some, [one, two, three])
    assert [c.weights for c in found] == [one, two, three]
    assert_equal(some[1], apply_weights(found, 1.0)[1])
    assert some[0].weights == Weights()


def test_tables_of_kliff():
    table = file("Config Energy Forces Stress\n1.0 0.0 10.0 0.0\n0.5 2 4 6 # weak\n\n")
    assert read_weights(table) == [Weights(0, 10, 0), Weights(1, 2, 3)]
    # Columns in any order and case; what is left out is 0, but a config alone is a weight.
    assert read_weights(file("FORCES config\n10 2\n")) == [Weights(0, 20, 0)]
    assert read_weights(file("Energy\n3\n")) == [Weights(3, 0, 0)]
    assert read_weights(file("Config\n3\n")) == [Weights(3, 3, 3)]


def test_yaml():
    text = "- config: 1.0\n  energy: 0.0\n  forces: 2\n- Energy: 1e-1\n"
    assert read_weights(file(text, "w.yaml")) == [Weights(0, 2, 0), Weights(0.1, 0, 0)]
    assert read_weights(file("{energy: 1, forces: 2}", "w.yml")) == [Weights(1, 2, 0)]


def test_files_have_one_row_or_one_for_each():
    some = configurations()
    one = apply_weights(some, file("Energy Forces\n1 10\n"))
    assert [c.weights for c in one] == [Weights(1, 10, 0)] * 3
    each = apply_weights(some, file("Energy\n1\n2\n3\n"))
    assert [c.weights.energy for c in each] == [1, 2, 3]
    with pytest.raises(TorchMLError, match=r"weights.dat has weights for 2 .* expected one or 3"):
        apply_weights(some, file("Energy\n1\n2\n"))
    with pytest.raises(TorchMLError, match="weights for 2 configurations, expected 3"):
        apply_weights(some, [Weights()] * 2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("w.dat", "", "holds no weights"),
        ("w.dat", "Energy Forces\n", "holds no weights"),
        ("w.dat", "Energy Forces\n1 2\n1\n", "row 1 has 1 columns, expected 2"),
        ("w.dat", "Energy Force\n1 2\n", "row 0: 'force' is unknown"),
        ("w.dat", "Energy energy\n1 2\n", "names a column twice"),
        ("w.dat", "Energy\nhigh\n", "row 0: energy is 'high'"),
        ("w.dat", "Energy\n1\n-1\n", "row 1: the energy weight is -1"),
        ("w.dat", "Energy\nnan\n", "row 0: the energy weight is nan"),
        ("w.yaml", "- forces: [1.0, 2.0]\n", r"row 0: forces is \[1.0, 2.0\], expected one number"),
        ("w.yaml", "- 1\n", "no list of weights"),
        ("w.yaml", "energy: [\n", "cannot be read as YAML"),
        ("w.yaml", "", "holds no weights"),
    ],
)
def test_bad_files(name, text, message):
    with pytest.raises(TorchMLError, match=f"{name}.*{message}"):
        read_weights(file(text, name))


def test_bad_mappings():
    with pytest.raises(TorchMLError, match="the weights: 'force' is unknown"):
        apply_weights([], {"force": 1})
    with pytest.raises(TorchMLError, match="cannot be read"):
        apply_weights([], "nowhere.dat")
