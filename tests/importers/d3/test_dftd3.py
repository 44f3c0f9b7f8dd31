"""D3 against dftd3, and its tables against tad-dftd3, in the environment of these packages."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

import torchml.models.d3_tables
from helpers.d3 import cases, content

# Results for the structures of tests/data/d3.json, and its tables; without TorchML.
SCRIPT = """
import json, sys, types
from importlib.metadata import version

import numpy as np
from ase import Atoms
from dftd3.ase import DFTD3

errors = types.ModuleType("torchml.errors")
errors.TorchMLError = ValueError
sys.modules |= {"torchml": types.ModuleType("torchml"), "torchml.errors": errors}
tables = {}
exec(open(sys.argv[1]).read(), tables)
given = json.load(sys.stdin)
found = []
for case in given["cases"]:
    atoms = Atoms(**{key: case[key] for key in ("symbols", "positions", "cell", "pbc")})
    cutoffs = {"disp2": case["cutoff"], "disp3": case["cutoff"], "width2": case["smoothing"]}
    atoms.calc = DFTD3(
        damping="d3bj",
        params_tweaks={"s6": 1.0, "s8": 0.7875, "s9": 0.0, "a1": 0.4289, "a2": 4.4407},
        realspace_cutoff=cutoffs | {"cn": case["coordination_cutoff"]},
    )
    results = {"energy": float(atoms.get_potential_energy()), "forces": atoms.get_forces().tolist()}
    if "virial" in case:
        results["virial"] = (atoms.get_stress() * atoms.get_volume()).tolist()
    found.append(results)
print(json.dumps({
    "cases": found,
    "tables": tables["tables_of"](given["species"]),
    "damping": {name: tables["damping_of"](name) for name in ("PBE", "b3-lyp")},
    "version": version("dftd3"),
}))
"""


@pytest.fixture(scope="module")
def found(peers_python):
    species = content()["tables"]["species"]
    done = subprocess.run(
        [peers_python, "-c", SCRIPT, torchml.models.d3_tables.__file__],
        input=json.dumps({"cases": cases(), "species": species}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_results_that_the_suite_compares_with_are_those_of_dftd3(found):
    assert found["version"] == "1.7.0"
    for case, results in zip(cases(), found["cases"], strict=True):
        for name, value in results.items():
            largest = np.abs(case[name]).max()
            np.testing.assert_allclose(value, case[name], rtol=0, atol=1e-11 * largest)


def test_the_tables_of_the_suite_are_those_of_the_package(found):
    tables = content()["tables"]
    assert found["tables"] == tables["tables"]
    assert found["damping"]["PBE"] == tables["damping"]
    assert found["damping"]["b3-lyp"]["a1"] == 0.3981
