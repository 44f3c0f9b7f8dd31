"""Models that are copied, and used in other processes."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed

from helpers import portable
from helpers.processes import Energies, energy_of
from torchml import Calculator, Potential
from torchml.contract import metadata


def changed(atoms):
    """The same structure, so that the calculator has nothing stored for it."""
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.fixture
def archive(example, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(example("schnet", "edges").archive.read_bytes())
    return path


@pytest.fixture
def atoms(archive):
    structure = portable.silicon()
    structure.calc = Calculator(archive)
    return structure


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "pickle twice": lambda one: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(one)))),
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_copies_have_equal_energies(duplicate, atoms):
    other = changed(portable.silicon())
    expected = atoms.calc.get_potential_energy(other)
    assert duplicate(atoms.calc.potential).evaluate(other).energy == expected
    assert duplicate(atoms.calc).get_potential_energy(other) == expected
    twin = duplicate(atoms)
    if duplicate is not copy.copy:  # ASE's own copy leaves the calculator out
        assert energy_of(changed(twin)) == expected
    # The original remains.
    assert atoms.calc.get_potential_energy(other) == expected


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("another model")])
def test_copies_do_not_depend_on_the_file(change, archive, atoms):
    expected = energy_of(atoms)
    change(archive)
    for duplicate in COPIES.values():
        assert duplicate(atoms.calc.potential).evaluate(atoms).energy == expected


def test_a_silent_archive_takes_its_keywords_along(example, tmp_path):
    path = tmp_path / "silent.pt"
    with metadata.quiet_torchscript():
        torch.jit.load(example("schnet", "edges").archive).save(path)
    facts = {"cutoff": 4.0, "species": ["Si"], "layers": 3, "convention": "edges"}
    calculator = Calculator(path, **facts)
    path.unlink()
    expected = calculator.get_potential_energy(portable.silicon())
    twin = pickle.loads(pickle.dumps(calculator))
    assert twin.get_potential_energy(changed(portable.silicon())) != expected
    assert twin.get_potential_energy(portable.silicon()) == expected
    assert twin.potential.name == calculator.potential.name


@pytest.mark.parametrize("source", ["folder", "installed"])
def test_portable_models_can_be_copied(source, installed):
    found = installed("binary", "graph")
    potential = Potential(found.folder if source == "folder" else found.name)
    expected = potential.evaluate(portable.silicon()).energy
    twin = pickle.loads(pickle.dumps(potential))
    assert twin.evaluate(portable.silicon()).energy == expected
    assert twin.spec.species == potential.spec.species


def test_copies_compute_at_the_same_time(atoms):
    expected = atoms.calc.potential.evaluate(atoms).energy
    found = []
    copies = [copy.deepcopy(atoms.calc.potential) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda p=p: found.append(p.evaluate(atoms).energy)) for p in copies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_computes_atoms_that_carry_a_calculator(method, atoms):
    expected = energy_of(atoms)
    fresh = portable.silicon()
    fresh.calc = copy.deepcopy(atoms.calc)
    fresh.calc.reset()
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(energy_of, [fresh] * 3).get(timeout=60)
    assert found == [expected] * 3


def test_joblib_computes_atoms_that_carry_a_calculator(atoms):
    expected = energy_of(atoms)
    atoms.calc.reset()
    found = Parallel(n_jobs=2, timeout=120)(delayed(energy_of)(atoms) for _ in range(3))
    assert found == [expected] * 3


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_data_loader_compute(method, atoms):
    structures = [portable.silicon(seed=seed) for seed in range(3)]
    expected = [atoms.calc.potential.evaluate(one).energy for one in structures]
    loader = torch.utils.data.DataLoader(
        Energies(atoms.calc.potential, structures),
        batch_size=None,
        num_workers=2,
        multiprocessing_context=method,
        timeout=120,
    )
    assert np.array_equal(list(loader), expected)


FORKED = """
import os, sys
from ase.build import bulk
import torch
from torchml import Potential

atoms = bulk("Si", cubic=True).repeat(4)
potential = Potential(sys.argv[1])
torch.set_num_threads(2)
expected = potential.evaluate(atoms).energy
child = os.fork()
if child == 0:
    found = [potential.evaluate(atoms).energy, Potential(sys.argv[1]).evaluate(atoms).energy]
    assert torch.get_num_threads() == 2
    os._exit(0 if all(abs(one - expected) < 1e-9 for one in found) else 1)
_, status = os.waitpid(child, 0)
assert potential.evaluate(atoms).energy == expected
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("case", [("schnet", "edges"), ("schnet", "graph"), ("sw", "none")])
def test_a_forked_child_computes_after_its_parent_did_with_two_threads(case, example):
    command = [sys.executable, "-c", FORKED, str(example(*case).archive)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run(command, check=True, timeout=120, env=environment)
