"""Outputs of DFT codes: their names, their steps, their ends, and the two energies of VASP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import ase.io
import ase.io.aims
from ase import Atoms
from ase.io.formats import open_with_compression

from torchml.data.formats.cp2k import read_cp2k

_NAMES = {
    "vasprun*.xml": "vasp-xml",
    "OUTCAR*": "vasp-out",
    "aims.out": "aims-output",
    "*.pwo": "espresso-out",
}
_FIRST_LINES = {
    b"Invoking FHI-aims": "aims-output",
    b"Program PWSCF": "espresso-out",
    b"CP2K| version string": "cp2k-output",
}
# What a code writes at the end of a run that was not interrupted.
_LAST_LINES = {
    "vasp-xml": b"</modeling>",
    "vasp-out": b"General timing and accounting",
    "aims-output": b"Have a nice day.",
    "espresso-out": b"JOB DONE.",
    "cp2k-output": b"PROGRAM ENDED AT",
}
FORMATS = tuple(_LAST_LINES)
_COMPRESSED = (".gz", ".bz2", ".xz")
_BLOCK = 1 << 16


def output_format(file: Path) -> str | None:
    """Return the name of the format of an output, None for other files.

    The names are ASE's, and cp2k-output.
    """
    name = file.stem if file.suffix in _COMPRESSED else file.name
    for pattern, format in _NAMES.items():
        if fnmatch(name, pattern):
            return format
    if not name.endswith((".out", ".log")):
        return None
    try:
        with open_with_compression(str(file), "rb") as opened:
            start = opened.read(_BLOCK)
    except (OSError, EOFError):
        return None
    return next((format for line, format in _FIRST_LINES.items() if line in start), None)


def one_for_each_run(files: list[Path]) -> list[Path]:
    """Leave out the OUTCAR where the vasprun.xml of the same run is there."""
    with_xml = {file.parent for file in files if fnmatch(file.name, "vasprun*.xml*")}
    return [f for f in files if not (f.parent in with_xml and fnmatch(f.name, "OUTCAR*"))]


def read_steps(file: Path, format: str) -> Iterator[Atoms]:
    """Yield the steps of an output, also of a run that ended early."""
    if format == "cp2k-output":
        return read_cp2k(file)
    if format == "aims-output":
        return _read_aims(file)
    return iter(ase.io.iread(file, index=":", format=format))


def _read_aims(file: Path) -> Iterator[Atoms]:
    """FHI-aims: ASE opens neither compressed outputs nor, unless it is told to, unfinished ones."""
    with open_with_compression(str(file), "r") as opened:
        yield from ase.io.aims.read_aims_output(opened, slice(None), non_convergence_ok=True)


def complete_steps(structures: Sequence[Atoms], format: str, early: bool) -> list[Atoms]:
    """Return the steps that have an energy and, in a run that ended early, all labels."""
    labels = [set() if atoms.calc is None else set(atoms.calc.results) for atoms in structures]
    needed = labels[0] | {"energy"} if early and labels else {"energy"}
    complete = [atoms for atoms, there in zip(structures, labels, strict=True) if needed <= there]
    # FHI-aims prints the positions of a step of dynamics after its energy; ASE takes the first ones
    # where they are missing.
    if early and format == "aims-output" and len(structures) > 1:
        complete = [atoms for atoms in complete if atoms is not structures[-1]]
    return complete


def check_end(file: Path, format: str) -> str | None:
    """Return the sentence about a run that ended early, None for one that did not."""
    last = _LAST_LINES.get(format)
    if last is None:
        return None
    tail = b""
    with open_with_compression(str(file), "rb") as opened:
        while block := opened.read(_BLOCK):
            tail = (tail + block)[-_BLOCK:]
    if last in tail:
        return None
    return f"{file} ends without '{last.decode()}', it was cut short or is still written"


def smearing(structures: list[Atoms]) -> float:
    """Return the largest difference of free energy and energy, eV per atom."""
    return max(
        (
            abs(atoms.calc.results["free_energy"] - atoms.calc.results["energy"]) / len(atoms)
            for atoms in structures
            if atoms.calc is not None and {"free_energy", "energy"} <= set(atoms.calc.results)
        ),
        default=0.0,
    )


def is_vasp(format: str | None) -> bool:
    return format is not None and re.match("vasp-(xml|out)$", format) is not None
