"""Checks that a training needs: each error names file and index."""

from __future__ import annotations

from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT

from helpers.labelled import configurations, structures
from torchml import TorchMLError
from torchml.data import (
    Configuration,
    DataModule,
    GraphBuilder,
    check_duplicates,
    check_labels,
    check_species,
    read,
    write_extxyz,
    write_lmdb,
)
from torchml.data.checks import describe_repeated_labels, repeated_labels


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


def test_labels_of_another_structure_are_found():
    calculated = configurations()
    rng = np.random.default_rng(0)
    rattled = [
        replace(c, positions=c.positions + rng.normal(0, 0.1, c.positions.shape), index=k + 10)
        for k, c in enumerate(calculated)
    ]
    assert repeated_labels(calculated) == []
    pairs = repeated_labels([*calculated, *rattled])
    assert [(a.index, b.index) for a, b in pairs] == [(0, 10), (1, 11), (2, 12)]
    sentence = describe_repeated_labels(pairs)
    assert "configuration 10 has the energy and the forces of" in sentence
    assert "(and 2 more pairs)" in sentence


def test_equal_labels_of_equal_structures_are_right():
    crystal, _, molecule = configurations()
    moved = replace(molecule, positions=molecule.positions + np.array([1.0, 2.0, 3.0]))
    images = crystal.positions + 0.3
    images[2] += crystal.cell[1] - 2 * crystal.cell[0]
    still = [
        replace(molecule, forces=0 * molecule.forces, positions=molecule.positions + shift)
        for shift in (0, rng_like(molecule))
    ]
    assert repeated_labels([molecule, moved, crystal, replace(crystal, positions=images)]) == []
    assert repeated_labels(still) == []
    assert repeated_labels([replace(c, forces=None) for c in (molecule, moved)]) == []


def rng_like(c: Configuration) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, c.positions.shape)


def test_stale_labels_that_ase_writes_are_reported_once(caplog):
    atoms = structures()[0]
    atoms.calc = EMT()
    for seed in range(3):
        atoms.get_forces()
        ase.io.write("stale.extxyz", atoms, append=True)
        atoms.rattle(0.05, seed=seed)
        ase.io.write("stale.extxyz", atoms, append=True)  # new positions, old labels
        atoms.rattle(0.05, seed=seed + 10)
    module = DataModule(train="stale.extxyz")
    builder = GraphBuilder(["Cu", "Au"], 4.0, 1)
    module.prepare(builder, ["train", "val"])
    module.prepare(builder, ["train", "val"], ["energy"])
    (message,) = [r.message for r in caplog.records if "has the energy" in r.message]
    assert "stale.extxyz, configuration" in message and "(and 2 more pairs)" in message
