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
from ase import Atoms
from ase.build import bulk

from torchml.importers import reading


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
