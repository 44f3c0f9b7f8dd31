"""Changed copies of configurations: what changes, what stays, and how far atoms come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from helpers.labelled import assert_equal, configurations
from torchml.data import Configuration
from torchml.data.configuration import Weights
from torchml.data.copies import Copies, shortest_distance


@pytest.fixture(scope="module")
def originals() -> list[Configuration]:
    """An alloy, a slab with fixed atoms, and a molecule."""
    marks = {"weights": Weights(2.0), "group": "some", "info": {"charge": 1}, "sid": "7"}
    return [replace(one, **marks) for one in configurations()]


def test_copies_are_made_again_with_the_same_bits(originals) -> None:
    copies = Copies(originals, 3, seed=1)
    assert len(copies) == 9
    for first, second in zip(copies, Copies(originals, 3, seed=1), strict=True):
        assert_equal(first, second)
    assert not np.array_equal(copies[0].positions, copies[1].positions)
    assert not np.array_equal(copies[0].positions, Copies(originals, 3, seed=2)[0].positions)


def test_labels_and_ids_do_not_follow_but_the_rest_does(originals) -> None:
    for k, copy in enumerate(Copies(originals, 2)):
        original = originals[k // 2]
        assert copy.energy is copy.forces is copy.stress is copy.sid is None
        assert (copy.weights, copy.group, copy.info) == (Weights(2.0), "some", {"charge": 1})
        np.testing.assert_array_equal(copy.pbc, original.pbc)
        if len(copy) == len(original):
            np.testing.assert_array_equal(copy.numbers, original.numbers)
        else:
            assert original.pbc.all() and k % 2 == 1 and len(copy) >= 4  # the cut one


def test_fixed_atoms_stay_in_their_places_in_the_cell(originals) -> None:
    slab = originals[1]
    fixed = slab.fixed
    assert fixed is not None and fixed.any() and not fixed.all()
    copy = Copies([slab], 1)[0]
    moved = copy.positions @ np.linalg.inv(copy.cell) - slab.positions @ np.linalg.inv(slab.cell)
    np.testing.assert_allclose(moved[fixed], 0.0, atol=1e-12)
    assert np.abs(moved[~fixed]).max(axis=1).min() > 1e-5


def test_no_copy_has_much_closer_atoms() -> None:
    liquid = bulk("Cu", cubic=True) * (2, 2, 2)
    liquid.rattle(0.3, seed=1)
    original = Configuration.from_atoms(liquid)
    least = 0.85 * shortest_distance(original)
    copies = Copies([original], 60)
    assert min(shortest_distance(one) for one in copies) >= least
    # The rule had work to do: the strain alone would keep half of these distances.
    assert min(shortest_distance(one) for one in copies) < least / 0.85


def test_a_cut_opens_a_crystal_between_two_of_its_planes() -> None:
    original = Configuration.from_atoms(bulk("Cu", cubic=True) * (3, 3, 3))
    cuts = [Copies([original], 1, seed)[0] for seed in range(20)]
    sizes = {len(one) for one in cuts}
    assert min(sizes) >= 4 and max(sizes) < len(original) and len(sizes) > 5
    for one in cuts:  # one gap: along some direction, atoms are missing in a quarter of the period
        scaled = one.positions @ np.linalg.inv(one.cell)
        planes = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3)
        phases = np.sort((scaled @ planes[planes.any(axis=1)].T) % 1.0, axis=0)
        gaps = np.diff(phases, axis=0, append=phases[:1] + 1.0)
        assert gaps.max() > 0.2


def test_what_has_no_neighbours_has_no_copies() -> None:
    alone = Configuration.from_atoms(Atoms("Ar"))
    apart = Configuration.from_atoms(Atoms("Ar2", [[0, 0, 0], [0, 0, 9]]))
    crystal = Configuration.from_atoms(bulk("Ar", "fcc", 5.3))  # one atom and its images
    copies = Copies([alone, apart, crystal], 2)
    assert [len(one) for one in copies] == [1, 1]
    assert not np.allclose(copies[0].cell, crystal.cell)
