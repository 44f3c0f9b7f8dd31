"""A LAMMPS that takes one step at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from common.own_lammps import Lammps

from helpers import portable
from torchml import Potential, TorchMLError, kim


@pytest.fixture
def atoms() -> Atoms:
    crystal: Atoms = bulk("Si", "diamond", a=5.431, cubic=True)
    crystal.rattle(0.1, seed=3)
    crystal.wrap()
    return crystal


def test_results_of_the_first_atoms_and_times_of_steps(collection, atoms, tmp_path: Path) -> None:
    example = portable.write_example("sw", "edges", tmp_path)
    kim.install(example.folder, "environment", force=True)  # tests share the collection
    expected = Potential(example.folder).evaluate(atoms)
    first, potential = f"kim init {example.name} metal", "kim interactions Si"
    with Lammps("SW", "lmp", first, potential, atoms, ["Si"], tmp_path / "run", 1) as lammps:
        assert lammps.energy == pytest.approx(expected.energy, rel=1e-12)
        np.testing.assert_allclose(lammps.forces, expected.forces, rtol=0, atol=1e-8)
        assert 0.0 < lammps.step() < 10.0 and 0.0 < lammps.step() < 10.0


def test_the_error_of_lammps_is_shown(atoms, tmp_path: Path) -> None:
    first, potential = "units metal\natom_style atomic", "pair_style nowhere"
    with pytest.raises(TorchMLError, match=r"other: LAMMPS ended: ERROR.*nowhere"):
        Lammps("other", "lmp", first, potential, atoms, ["Si"], tmp_path / "run", 1)
