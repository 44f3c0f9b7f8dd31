"""Read a model of another package in a process of its own.

    PYTHON reader.pyz REQUEST OUTPUT

The process needs torch and the package alone: `reader.pyz` is a zip file of
`torchml.importers.reading`. What it writes are plain values and tensors.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols, covalent_radii

from torchml.contract.archives import check_archive, member_names
from torchml.errors import FileError
from torchml.importers.adapters import FOLDER, adapters, expected_kinds, is_kind
from torchml.importers.pickles import foreign_names
from torchml.importers.reading.source import Wish

_PACKAGE = "torchml_reading"
_MAIN = f"import runpy\n\nrunpy.run_module('{_PACKAGE}', run_name='__main__', alter_sys=False)\n"


def read(
    kind: str,
    wish: Wish,
    python: str | Path | None = None,
    cutoff: float | None = None,
    layers: int | None = None,
) -> dict[str, Any]:
    """Read a model and its package's own results.

    Args:
        kind: name of an adapter, or FILE.py:function.
        wish: what is wanted of the model. Reading it may run any code that came with it.
        python: of an environment that has torch and the package; None is this one.
        cutoff: for an adapter file without one (Å).
        layers: for an adapter file without them.

    Returns:
        What `torchml.importers.reading.handing_over.content_of` describes.

    Raises:
        FileError: the model or its package cannot be read, in one sentence.
    """
    if not is_kind(kind):
        raise FileError(f"the kind of {wish.model} is '{kind}', expected {expected_kinds()}")
    request = {
        "kind": kind,
        "install": adapters()[kind].install if kind in adapters() else ("torch",),
        "wish": asdict(wish),
        "radii": radii(),
        "cutoff": cutoff,
        "layers": layers,
    }
    _examine(Path(wish.model), kind)
    with tempfile.TemporaryDirectory() as scratch:
        return _run(Path(scratch), request, executable(python))


def radii() -> dict[str, float]:
    """Covalent radii (Å) by chemical symbol."""
    return {
        symbol: float(radius)
        for symbol, radius in zip(chemical_symbols, covalent_radii, strict=False)
    }


def write_reader(path: Path) -> Path:
    """Write the zip file that Python runs."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", _MAIN)
        for file in sorted(FOLDER.glob("*.py")):
            archive.write(file, f"{_PACKAGE}/{file.name}")
    return path


def _examine(model: Path, kind: str) -> None:
    """Refuse damaged archives among the files of a model: torch believes what they say."""
    for path in sorted(model.rglob("*")) if model.is_dir() else [model]:
        if path.is_file() and zipfile.is_zipfile(path):
            script = "constants.pkl" in member_names(path)
            runs_code = bool(foreign_names(path)) and not script
            check_archive(path, f"model of '{kind}'", runs_code=runs_code)


def _run(scratch: Path, request: dict[str, Any], executable: str) -> dict[str, Any]:
    output, error = scratch / "output", scratch / "output.error"
    (scratch / "request").write_text(json.dumps(request), encoding="utf-8")
    reader = write_reader(scratch / "reader.pyz")
    done = subprocess.run(
        [executable, reader, scratch / "request", output],
        env=_environment(executable),
        capture_output=True,
        text=True,
        check=False,
    )
    if error.is_file():
        raise FileError(error.read_text(encoding="utf-8"))
    if not output.is_file():
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise FileError(
            f"{request['wish']['model']} could not be read: the process that reads it ended with "
            f"status {done.returncode} ({lines[-1] if lines else 'no message'})"
        )
    check_archive(output, "content of the model", request["wish"]["model"])
    content: dict[str, Any] = torch.load(output, map_location="cpu", weights_only=True)
    return content


def executable(python: str | Path | None) -> str:
    """The Python of an environment; None is this one.

    Raises:
        FileError: there is no such program.
    """
    if python is None:
        return sys.executable
    if (found := shutil.which(str(python))) is None:
        raise FileError(f"{python}: no such program, expected the Python of an environment")
    return found


def _environment(executable: str) -> dict[str, str]:
    """This Python finds what this process finds; another one, its own packages alone."""
    variables = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")
    }
    if executable == sys.executable:
        variables["PYTHONPATH"] = os.pathsep.join(one or os.getcwd() for one in sys.path)
    return variables
