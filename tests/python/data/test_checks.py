"""Checks that a training needs: each error names file and index."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.labelled import configurations
from torchml import TorchMLError
from torchml.data import (
    Configuration,
    check_duplicates,
    check_labels,
    check_species,
    read,
    write_extxyz,
    write_lmdb,
)


def test_labels():
    some = configurations()
    check_labels(some, ["energy", "forces"])
    with pytest.raises(TorchMLError, match="configuration 1 has no stress"):
        check_labels(some, ["energy", "stress"])
    bare = Configuration([1], [[0, 0, 0]], targets={"gap": 1.0}, source="b.xyz", index=9)
    check_labels([bare], ["gap"])
    for name in ("energy", "forces", "stress"):
        with pytest.raises(TorchMLError, match=f"b.xyz, configuration 9 has no {name}"):
            check_labels([bare], [name])
    with pytest.raises(TorchMLError, match="configuration 9 has no target 'dipole', it has 'gap'"):
        check_labels([bare], ["dipole"])


def test_labels_of_lazy_sequences():
    write_lmdb([*configurations(), Configuration([1], [[0, 0, 0]])], "a.lmdb")
    with pytest.raises(TorchMLError, match=r"a\.lmdb, configuration 3 has no energy"):
        check_labels(read("a.lmdb"), ["energy"])


def test_species():
    some = configurations()
    check_species(some, ["H", "C", "O", "Cu", "Pt", "Au"])
    with pytest.raises(TorchMLError, match="configuration 1: atom 9 is C, expected one of Pt, Au"):
        check_species(some[1:], ["Pt", "Au", "H", "O"])


def test_duplicates_are_found_between_files():
    some = configurations()
    check_duplicates(some)
    write_extxyz(some, "a.xyz")
    write_extxyz(some[2:], "b.xyz")
    with pytest.raises(
        TorchMLError, match=r"b\.xyz, configuration 0 is a duplicate of a\.xyz, configuration 2"
    ):
        check_duplicates(read(["a.xyz", "b.xyz"]))


def test_what_makes_a_duplicate():
    cell = np.diag([2.0, 2, 2])

    def one(numbers=(1, 8), shift=0.0, cell=cell, pbc=True, energy=0.0):
        positions = [[0.0, 0, shift], [0, 0, 1]]
        return Configuration(numbers, positions, cell=cell, pbc=pbc, energy=energy)

    check_duplicates([one(), one((1, 9)), one(shift=1e-12), one(cell=cell * 1.01), one(pbc=False)])
    for twin in (one(energy=1.0), one(shift=-0.0)):
        with pytest.raises(TorchMLError, match="duplicate"):
            check_duplicates([one(), twin])
