"""Scripts of tests that run in the environment of other packages, where torchml is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.kim import KIM

from helpers.portable import relative
from torchml.importers import reading
from torchml.importers.foreign import write_reader
from torchml.validation.lammps import evaluate_with_lammps


def answers(python: str | Path, script: Path, folder: Path, structures: Sequence[Atoms]) -> Any:
    """Run a script with the adapters as the package `reading`; return its answers.json.

    Args:
        python: of the environment.
        script: takes the folder; modules in its folder and the one above can be imported.
        folder: where models are written; it gets the structures as structures.traj.
        structures: for the package's own calculator.
    """
    ase.io.write(folder / "structures.traj", list(structures))
    shutil.copytree(Path(reading.__file__).parent, folder / "path" / "reading")
    search = [folder / "path", script.parent, script.parent.parent]
    done = subprocess.run(
        [python, "-W", "ignore", script, folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "answers.json").read_text())


def made(python: str | Path, program: Path, folder: Path) -> str:
    """Run a program that makes models in a folder and reads them; return what it printed.

    Args:
        python: of the environment.
        program: takes the folder and the zip file that reads models.
        folder: gets NAME.content, or NAME.error, for each reading.
    """
    reader = write_reader(folder / "reader.pyz")
    done = subprocess.run(
        [python, program, folder, reader], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def require_agreement(
    name: str, structures: Sequence[Atoms], answers: Sequence[dict[str, Any]]
) -> None:
    """LAMMPS on two ranks and KIM's calculator give the package's own results.

    Args:
        name: of the installed model of Na and Cl.
        structures: those of the answers.
        answers: as of `results`.
    """
    ranks = evaluate_with_lammps(name, structures, ["Na", "Cl"], ranks=2)
    for atoms, answer, found in zip(structures, answers, ranks, strict=True):
        own = results(answer, atoms)
        assert found.energy == pytest.approx(own.energy, rel=1e-10)
        assert relative(found.forces, own.forces) < 1e-8
        if own.virial is not None:
            assert relative(found.virial, own.virial) < 1e-8
        atoms.calc = KIM(name)
        assert atoms.get_potential_energy() == pytest.approx(own.energy, rel=1e-10)
        assert relative(atoms.get_forces(), own.forces) < 1e-8


def results(answer: dict[str, Any], atoms: Atoms) -> SimpleNamespace:
    """Energy, forces and virial of an answer; the virial is None without periods."""
    stress = answer["stress"]
    return SimpleNamespace(
        energy=answer["energy"],
        forces=np.array(answer["forces"]),
        virial=None if stress is None else np.array(stress) * atoms.get_volume(),
    )


def salt() -> list[Atoms]:
    """NaCl, strained and rattled: a crystal of 8 atoms, and 5 of them alone."""
    crystal = bulk("NaCl", "rocksalt", a=5.2, cubic=True)
    crystal.rattle(0.15, seed=3)
    strain = [[1.0, 0.0, 0.0], [0.05, 1.0, 0.0], [0.0, 0.1, 0.95]]
    crystal.set_cell(crystal.cell.array @ strain, scale_atoms=True)
    cluster = crystal[:5]
    cluster.pbc = False
    cluster.center(vacuum=6.0)
    return [crystal, cluster]
