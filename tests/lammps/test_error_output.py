"""The driver's sentence is where users look: on stderr, once, when a run ends with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from helpers import portable
from torchml import kim
from torchml.errors import TorchMLError
from torchml.validation.lammps import mpi_environment, run_lammps

LAMMPS = """
units metal
kim init ${model} metal
lattice diamond 5.431
region box block 0 2 0 2 0 2
create_box 1 box
create_atoms 1 box
mass 1 28.0855
kim interactions Si
run 2
"""

ASE = """
import sys
from ase.build import bulk
from ase.calculators.kim import KIM

atoms = bulk("Si", cubic=True)
atoms.calc = KIM(sys.argv[1])
try:
    atoms.get_potential_energy()
finally:
    atoms.rattle(0.01)
    try:
        atoms.get_potential_energy()
    except Exception:
        pass
"""

BODIES = {
    "NotFinite": ("    return coords.sum() / 0.0 * 0.0\n", "energy that is not finite"),
    "Shape": ("    return coords * self.scale\n", "shape [4, 3], expected"),
    "Step": (
        "    assert coords.size(0) < 8, 'too many atoms'\n"
        "    return (coords ** 2).sum(dim=1) * self.scale\n",
        "too many atoms",
    ),
}


@pytest.fixture(scope="module")
def names(collection, tmp_path_factory):
    parent = tmp_path_factory.mktemp("failing")
    for case, (body, _) in BODIES.items():
        archive = parent / f"{case}.pt"
        portable.save_graph_model(body, archive)
        name = kim.model_name(f"Test_Output{case}")
        files = {"model.pt": archive, "model.param": portable.GRAPH_PARAM}
        portable.write_folder(parent / name, files, ["Si"])
        kim.install(parent / name, "environment")
    return {case: kim.model_name(f"Test_Output{case}") for case in BODIES}


def run(program, name, folder, **variables):
    """What a run prints to stderr, and how it ends."""
    (folder / "in.lammps").write_text(LAMMPS)
    command = {
        "lammps": ["lmp", "-in", "in.lammps", "-var", "model", name],
        "ase": [sys.executable, "-c", ASE, name],
    }[program]
    environment = {**mpi_environment(), **variables}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("program", ["lammps", "ase"])
@pytest.mark.parametrize("case", BODIES)
def test_the_sentence_is_on_stderr_once(case, program, names, tmp_path):
    code, printed = run(program, names[case], tmp_path)
    assert code != 0
    (line,) = [line for line in printed.splitlines() if line.startswith("TorchML: ")]
    assert BODIES[case][1] in line
    assert line.removeprefix("TorchML: ") in (tmp_path / "kim.log").read_text()


@pytest.mark.parametrize("program", ["lammps", "ase"])
def test_a_variable_silences_it(program, names, tmp_path):
    code, printed = run(program, names["Step"], tmp_path, TORCHML_STDERR="off")
    assert code != 0
    assert "TorchML" not in printed
    assert "too many atoms" in (tmp_path / "kim.log").read_text()


@pytest.mark.parametrize("program", ["lammps", "ase"])
def test_a_run_without_errors_prints_nothing(program, installed, tmp_path):
    code, printed = run(program, installed("sw", "edges").name, tmp_path)
    assert code == 0
    assert printed == ""


@pytest.mark.parametrize(
    ("variable", "expected"), [("STDERR", "on or off"), ("ON_ERROR", "return or abort")]
)
def test_a_wrong_value_is_refused(variable, expected, installed, tmp_path):
    name = installed("sw", "edges").name
    code, printed = run("lammps", name, tmp_path, **{f"TORCHML_{variable}": "never"})
    assert code != 0
    assert f"TorchML: TORCHML_{variable} is 'never', expected {expected}" in printed


def test_an_error_of_one_rank_ends_all(names, tmp_path):
    """The crystal is too large for the model, the atom on the other rank is not."""
    script = LAMMPS.replace("block 0 2 0 2 0 2", "block 0 8 0 2 0 2").replace(
        "create_atoms 1 box",
        "region crystal block 0 1.9 0 2 0 2\n"
        "create_atoms 1 region crystal\ncreate_atoms 1 single 6 1 1",
    )
    with pytest.raises(TorchMLError, match="too many atoms"):
        run_lammps(
            f"processors 2 1 1\n{script}",
            tmp_path,
            ranks=2,
            variables={"model": names["Step"]},
            environment={"TORCHML_ON_ERROR": "abort"},
        )
