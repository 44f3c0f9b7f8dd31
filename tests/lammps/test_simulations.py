"""Whatever a simulation does in LAMMPS: its last step has the energies and forces of its atoms."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import portable, simulations
from helpers.portable import relative
from torchml import Potential, TorchMLError, kim
from torchml.models import Scaled, SchNet
from torchml.validation.lammps import mpi_environment, run_lammps

# The convention of the model, the elements of LAMMPS' two types, the folding of ghosts, and ranks.
VARIANTS = {
    "folded": ("edges", "Si O", "on", (1, 2)),
    "unfolded": ("edges", "Si O", "off", (1, 2)),
    "Stillinger-Weber": ("graph", "Si Si", "on", (1,)),
}
RUNS = [(variant, ranks) for variant, (*_, choices) in VARIANTS.items() for ranks in choices]


@pytest.fixture(scope="module")
def models(tmp_path_factory, installed):
    """By convention: a stiff network of two layers, and Stillinger-Weber silicon."""
    torch.manual_seed(7)
    network = Scaled(SchNet(["Si", "O"], portable.CUTOFF, layers=2, features=8, gaussians=8))
    network.double().scale.fill_(40.0)
    folder = tmp_path_factory.mktemp("models")
    stiff = portable.write_model(network, "stiff", "edges", folder)
    kim.install(stiff.folder, "environment")
    return {"edges": stiff, "graph": installed("sw", "graph")}


@pytest.fixture(scope="module")
def potentials(models):
    return {convention: Potential(example.archive) for convention, example in models.items()}


@pytest.fixture(scope="module")
def simulated(models, tmp_path_factory):
    """simulated(ranks): the folder in which all simulations ran, as one process, and its error."""

    @cache
    def run(ranks: int) -> tuple[Path, str]:
        folder = tmp_path_factory.mktemp(f"{ranks}-ranks")
        (folder / "molecules.data").write_text(simulations.MOLECULES)
        scripts = [
            simulations.script(label, models[convention].name, elements, folding)
            for label, (convention, elements, folding, choices) in VARIANTS.items()
            if ranks in choices
        ]
        try:
            run_lammps("\n".join(scripts), folder, ranks)
        except TorchMLError as error:
            return folder, str(error)
        return folder, ""

    return run


def require_equal(step, potential):
    """The step has what the potential computes for its atoms."""
    expected = potential.evaluate(
        step.atoms, forces=True, virial=True, particle_energies=True, particle_virials=True
    )
    assert abs(expected.energy) > 1
    assert step.energy == pytest.approx(expected.energy, rel=1e-10)
    quantities = ["forces", "virial", "particle_energies"]
    if potential.spec.convention == "edges":  # of other models only the sum is defined
        quantities.append("particle_virials")
        carried = virial_times_velocity(expected.particle_virials, step.velocities)
        assert relative(step.flux, -carried.sum(axis=0)) < 1e-9
    for quantity in quantities:
        assert relative(getattr(step, quantity), getattr(expected, quantity)) < 1e-9, quantity
    assert relative(step.particle_virials.sum(axis=0), expected.virial) < 1e-8


def virial_times_velocity(virials, velocities):
    """[N, 3] the products of symmetric tensors, xx yy zz yz xz xy, with vectors."""
    tensors = virials[:, [0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(-1, 3, 3)
    return np.einsum("nij,nj->ni", tensors, velocities)


@pytest.mark.parametrize(("variant", "ranks"), RUNS)
@pytest.mark.parametrize("name", simulations.SIMULATIONS)
def test_the_last_step_is_that_of_its_atoms(name, variant, ranks, simulated, potentials):
    folder, error = simulated(ranks)
    convention, elements, *_ = VARIANTS[variant]
    assert (folder / f"{variant}-{name}.dump").exists(), f"it did not end: {error}"
    step = simulations.read_step(folder, f"{variant}-{name}", elements)
    assert step.happened
    require_equal(step, potentials[convention])


TEMPER = f"""
variable temperature world 300 900
variable replica world cold hot
{simulations.START}{simulations.CRYSTAL}
unfix motion
fix motion all nvt temp ${{temperature}} ${{temperature}} 0.02
temper 24 4 ${{temperature}} motion 4711 4712
{simulations.FINISH.replace("NAME", "${replica}")}"""


def test_replicas_that_swap_temperatures(models, potentials, tmp_path):
    """`temper` on two partitions of one rank each."""
    script = simulations.with_model(TEMPER, models["edges"].name, "Si O")
    run_lammps(script, tmp_path, 2, options=["-partition", "2x1"])
    cold, hot = (simulations.read_step(tmp_path, name, "Si O") for name in ("cold", "hot"))
    assert abs(cold.energy - hot.energy) > 1e-3
    for step in (cold, hot):
        require_equal(step, potentials["edges"])


# Two simulations in one process; one ends first, and the other then takes its model.
LIBRARY = """
import ctypes, sys

lammps = ctypes.CDLL(sys.argv[1])
lammps.lammps_open_no_mpi.restype = ctypes.c_void_p
words = (ctypes.c_char_p * 5)(b"lammps", b"-screen", b"none", b"-log", b"none")

def run(simulation, *files):
    for file in files:
        lammps.lammps_file(simulation, file.encode())

a, b = (ctypes.c_void_p(lammps.lammps_open_no_mpi(5, words, None)) for _ in range(2))
run(a, "start-a", "steps")
run(b, "start-b", "steps")
run(a, "steps", "finish-a")
lammps.lammps_close(a)
run(b, "steps", "finish-b", "exchange", "steps", "finish-c")
lammps.lammps_close(b)
"""


def test_two_models_in_one_process(models, potentials, tmp_path):
    """Two LAMMPS of the library interface, with a model each, take turns."""
    (library,) = re.findall(
        r"=> (\S*/liblammps\S*)",
        subprocess.run(["ldd", shutil.which("lmp")], capture_output=True, text=True).stdout,
    )
    stiff, silicon = models["edges"].name, models["graph"].name
    start = simulations.START + simulations.CRYSTAL
    files = {
        "start-a": simulations.with_model(start, stiff, "Si Si"),
        "start-b": simulations.with_model(start, silicon, "Si Si"),
        "steps": "run 8\n",
        "exchange": f"pair_style kim {stiff}\npair_coeff * * Si Si\n",
    } | {f"finish-{name}": simulations.FINISH.replace("NAME", name) for name in "abc"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-c", LIBRARY, library]
    done = subprocess.run(command, cwd=tmp_path, env=mpi_environment(), capture_output=True)
    assert done.returncode == 0, done.stderr
    for name, convention in (("a", "edges"), ("b", "graph"), ("c", "edges")):
        require_equal(simulations.read_step(tmp_path, name, "Si Si"), potentials[convention])


def test_what_lammps_refuses_is_said_by_lammps(models, tmp_path):
    """Two rows of the table in docs/lammps.md whose reason is LAMMPS' own."""
    for body, sentence in (
        ("kim init ${model} lj\n", "unit_style lj not supported by KIM models"),
        (
            simulations.START + simulations.CRYSTAL + "pair_style hybrid/overlay kim ${model}\n",
            "pair_kim does not support hybrid|must not be used as a hybrid sub-style",
        ),
    ):
        script = simulations.with_model(body, models["graph"].name, "Si Si")
        with pytest.raises(TorchMLError, match=sentence):
            run_lammps(script, tmp_path)
