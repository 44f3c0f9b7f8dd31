"""Valgrind on the driver: models are created, computed and destroyed by a small simulator.

PYTHONPATH=tests python tests/kim/memcheck.py CLIENT: torchml_kim_client of tests/cpp. The exit
status is 1 if memory is read or written that is not there or was not set, or is lost.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers import descriptor_models, portable
from torchml import kim


def main(client: Path) -> int:
    if not runs():
        print("valgrind is not installed or does not run here: the driver is not checked with it")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        parent, collection = Path(scratch) / "models", Path(scratch) / "collection"
        parent.mkdir()
        collection.mkdir()
        os.environ["KIM_API_PORTABLE_MODELS_DIR"] = str(collection)
        names = install(parent)
        return max([check(client, name, Path(scratch)) for name in names])


def runs() -> bool:
    """Whether valgrind does: it needs the names of the functions in the system's loader."""
    if shutil.which("valgrind") is None:
        return False
    return subprocess.run(["valgrind", "true"], capture_output=True, check=False).returncode == 0


def install(parent: Path) -> list[str]:
    """Install models of three kinds of inputs.

    None calls torch.linalg.norm, in which libtorch reads what it did not set.
    """
    folders = [
        portable.write_example("schnet", "edges", parent).folder,
        portable.write_example("schnet", "graph", parent).folder,
        descriptor_models.write_model("SymmetryFunctions", "Si", parent).folder,
    ]
    for folder in folders:
        kim.install(folder, "environment")
    return [folder.name for folder in folders]


def check(client: Path, name: str, folder: Path) -> int:
    command = [
        *("valgrind", "--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite"),
        *("--show-leak-kinds=definite", "--error-exitcode=1", "--num-callers=30"),
        f"--suppressions={Path(__file__).resolve().parent / 'valgrind.supp'}",
    ]
    done = subprocess.run([*command, client.resolve(), name], cwd=folder, check=False)
    print(f"valgrind: {name} {'has errors' if done.returncode else 'is clean'}", flush=True)
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
