"""Train, export and examine models in the active environment: the last step of a row.

    python examine.py FOLDER

writes into FOLDER the versions of this machine (facts.json), the models, and the JSON files of
their examinations. The exit status is 0 if no check failed.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch._inductor.config
from ase.io import write

import torchml
from torchml.contract import metadata
from torchml.models import StillingerWeber, describe, script

sys.path.append(str(Path(__file__).resolve().parents[2] / "examples"))
import silicon_data

TRAINING = silicon_data.Size(snapshots=2, strained=5)
EPOCHS = 3


def main() -> int:
    """Examine the models; 0 if no check failed."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "facts.json").write_text(json.dumps(facts(), indent=1))
    torch.set_num_threads(1)  # small systems are not faster with more
    native = stillinger_weber(folder)
    # TorchScript in the driver; then a compiled archive, also in LAMMPS on one to four ranks.
    failures = check(native, folder, "--quick")
    failures += check(trained(native, folder), folder)
    return 1 if failures else 0


def facts() -> dict[str, str]:
    """Names and versions of what this machine consists of."""
    system = platform.freedesktop_os_release()
    return {
        "system": system.get("PRETTY_NAME", system["NAME"]),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "lightning": version("lightning"),
        "compiler": re.sub(r" \(.*\)", "", first_line(os.environ.get("CXX", "c++"), "--version")),
        "CMake": first_line("cmake", "--version").removeprefix("cmake version "),
        "MPI": mpi(),
        "KIM-API": first_line("pkg-config", "--modversion", "libkim-api"),
        "LAMMPS": re.sub(r".*Simulator - ", "", first_line("lmp", "-h")),
    }


def mpi() -> str:
    """Name and version of the MPI of `mpirun`."""
    printed = subprocess.run(["mpirun", "--version"], capture_output=True, text=True, check=True)
    if mpich := re.search(r"^HYDRA.*?Version: +(\S+)", printed.stdout, re.DOTALL):
        return f"MPICH {mpich[1]}"
    return re.sub(r"mpirun \((.*)\)", r"\1", printed.stdout.splitlines()[0])


def first_line(*command: str) -> str:
    """The first line with text that a program prints."""
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return next(line.strip() for line in printed.splitlines() if line.strip())


def stillinger_weber(folder: Path) -> str:
    """Install Stillinger and Weber's potential for silicon, and return its KIM name."""
    archive = folder / "sw.pt"
    model = StillingerWeber()
    metadata.save(script(model, "raw"), archive, describe(model, "raw"))
    return exported(archive, "Matrix_StillingerWeber", folder)


def trained(native: str, folder: Path) -> str:
    """Train an ACE on it, install it as TorchScript and compiled, and return its KIM name."""
    with silicon_data.inside_scratch():
        structures = list(silicon_data.labelled(native, TRAINING, np.random.default_rng(0)))
    write(folder / "train.extxyz", structures)
    run = torchml.fit(
        data__train=str(folder / "train.extxyz"),
        trainer__max_epochs=EPOCHS,
        trainer__default_root_dir=str(folder / "run"),
        overwrite=True,
        seed_everything=1,
    )
    # Without this setting, torch compiles for its own processor alone, and the export refuses.
    compiles = hasattr(torch._inductor.config.cpp, "march")
    return exported(run.best, "Matrix_ACE", folder, "aoti" if compiles else "torchscript")


def exported(model: Path, name: str, folder: Path, format: str = "torchscript") -> str:
    """Export the model into the folder and the collection of the environment."""
    result = torchml.export_model(
        model, name=name, output=folder, install="environment", overwrite=True, format=format
    )
    assert result.folder is not None  # a failed check raises
    return result.folder.name


def check(model: str, folder: Path, *words: str) -> int:
    """Examine an installed model as a user does; returns the exit status of the command."""
    command = [sys.executable, "-m", "torchml", "check", model, *words]
    return subprocess.call([*command, "--json", str(folder / f"{model}.json")])


if __name__ == "__main__":
    sys.exit(main())
