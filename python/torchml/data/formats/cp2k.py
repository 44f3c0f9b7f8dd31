"""Text outputs of CP2K's Quickstep for one structure, which ASE does not read.

An output contains cell and coordinates once, at its start, so the energies of a relaxation or of
dynamics belong to positions in other files: only runs of the types ENERGY and ENERGY_FORCE are
read. The lines are those that CP2K 6.1 to 2026.1 writes (src/cell_methods.F, particle_methods.F,
force_env_utils.F and virial_methods.F).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cell import Cell
from ase.io.formats import open_with_compression
from numpy.typing import NDArray

from torchml.errors import FileError
from torchml.voigt import to_voigt

_START = " CP2K| version string:"
_POINTS = ("ENERGY", "ENERGY_FORCE")
_NUMBER = r"\s+(\S+)"
_RUN_TYPE = re.compile(r" GLOBAL\| Run type\s+(\S+)")
_PERIODICITY = re.compile(r" (?:CELL|POISSON)\| Periodicity\s+(\w+)")
_VECTOR = re.compile(
    r" CELL\| Vector [abc] \[angstrom\]:" + 3 * _NUMBER + r"\s+\|[abc]\| =\s+(\S+)"
)
_ANGLE = re.compile(r" CELL\| Angle \([abc],[abc]\), \w+\s+\[degree\]:\s+(\S+)")
_COORDINATES = re.compile(r" MODULE QUICKSTEP:\s+ATOMIC COORDINATES IN (\w+)", re.IGNORECASE)
_ATOM = re.compile(r"\s+\d+\s+\d+\s+[A-Z][a-z]?\s+(\d+)" + 3 * _NUMBER + r"\s+\S+\s+\S+\s*$")
_UNCONVERGED = re.compile(r".*SCF run NOT converged")
_ENERGY = re.compile(r" ENERGY\| Total FORCE_EVAL \( (\w+) \) energy [\[(]([\w.]+)[\])]:?\s+(\S+)")
_FORCES = re.compile(r" (?:ATOMIC FORCES in|FORCES\| Atomic forces) \[(\S+)\]")
_FORCE = re.compile(
    r"\s+\d+\s+\d+\s+[A-Z][a-z]?" + 3 * _NUMBER + r"\s*$"
    r"| FORCES\|\s+\d+" + 3 * _NUMBER + r"\s+\S+\s*$"
)
_STRESS = re.compile(
    r" (?:STRESS\| (?:Analytical|Numerical) stress tensor|(?:NUMERICAL )?STRESS TENSOR) \[(\w+)\]"
)
_STRESS_ROW = re.compile(r" (?:STRESS\|\s+[xyz]|\s*[XYZ])" + 3 * _NUMBER + r"\s*$")

_LENGTHS = {"angstrom": 1.0, "bohr": units.Bohr}
_ENERGIES = {"a.u.": units.Hartree, "hartree": units.Hartree, "ev": 1.0}
_FORCE_UNITS = {
    "a.u.": units.Hartree / units.Bohr,
    "hartree/bohr": units.Hartree / units.Bohr,
    "ev/angstrom": 1.0,
}
_PRESSURES = {"gpa": units.GPa, "kbar": 0.1 * units.GPa, "bar": units.bar, "pa": units.Pascal}


def read_cp2k(path: Path) -> Iterator[Atoms]:
    """Yield the structure of each run in a file, with energy, forces and stress as printed.

    Several outputs may follow each other in one file; those that end before their energy are left
    out, except for the last one, which then has no calculator.

    Raises:
        FileError: the run has another type, did not converge, or a table is not complete.
    """
    with open_with_compression(str(path), "rb") as file:
        lines = file.read().decode("utf-8", "replace").splitlines()
    starts = [k for k, line in enumerate(lines) if line.startswith(_START)]
    for begin, end in pairwise([*starts, len(lines)]):
        run = _Run(lines[begin:end], str(path))
        if run.has_energy() or end == len(lines):
            yield run.atoms()


class _Run:
    """The lines of one run."""

    def __init__(self, lines: Sequence[str], path: str) -> None:
        self.lines = lines
        self.path = path

    def has_energy(self) -> bool:
        return bool(self._all(_ENERGY))

    def atoms(self) -> Atoms:
        """The structure, with a calculator that holds the labels."""
        self._require_one_structure()
        place, headline = self._only(_COORDINATES, "table of coordinates")
        rows = self._table(place, _ATOM)
        if not rows:
            raise self._error("has no row in its table of coordinates, expected one for each atom")
        atoms = Atoms(
            numbers=[int(row[0]) for row in rows],
            positions=self._numbers([row[1:] for row in rows])
            * self._unit(headline[1], _LENGTHS, "coordinates"),
            cell=self._cell(),
            pbc=self._pbc(),
        )
        if self.has_energy():
            atoms.calc = SinglePointCalculator(atoms, **self._results(len(atoms)))
        return atoms

    def _require_one_structure(self) -> None:
        kinds = [match[1] for _, match in self._all(_RUN_TYPE)]
        if kinds and kinds[0] not in _POINTS:
            raise self._error(
                f"is of the run type {kinds[0]}, whose positions CP2K writes to other files, "
                f"expected {' or '.join(_POINTS)}, or extended XYZ made of those files"
            )
        if any(match[1] != "QS" for _, match in self._all(_ENERGY)):
            raise self._error("has energies of several methods, expected Quickstep (QS) alone")
        if self._all(_UNCONVERGED):
            raise self._error("has an SCF run that is NOT converged, expected a converged one")

    def _results(self, atoms: int) -> dict[str, Any]:
        _, energy = self._only(_ENERGY, "energy")
        results: dict[str, Any] = {
            "energy": float(self._numbers([energy[3]])[0])
            * self._unit(energy[2], _ENERGIES, "energy")
        }
        if self._all(_FORCES):
            place, headline = self._only(_FORCES, "table of forces")
            rows = [row[:3] if row[0] else row[3:] for row in self._table(place, _FORCE)]
            if len(rows) != atoms:
                raise self._error(f"has forces of {len(rows)} atoms, expected {atoms}")
            unit = self._unit(headline[1], _FORCE_UNITS, "forces")
            results["forces"] = self._numbers(rows) * unit
        if self._all(_STRESS):
            place, headline = self._only(_STRESS, "stress tensor")
            tensor = self._numbers(self._table(place, _STRESS_ROW))
            if tensor.shape != (3, 3):
                raise self._error(f"has {len(tensor)} rows of a stress tensor, expected 3")
            # CP2K's stress is the virial per volume: positive for a compressed crystal.
            unit = self._unit(headline[1], _PRESSURES, "stress")
            results["stress"] = -to_voigt(tensor) * unit
        return results

    def _cell(self) -> NDArray[np.float64]:
        """The vectors, which are printed with 3 digits, made exact by their lengths and angles."""
        vectors = self._all(_VECTOR)[:3]
        angles = self._all(_ANGLE)[:3]
        if len(vectors) != 3 or len(angles) != 3:
            raise self._error("has no CELL| Vector a, b, c and CELL| Angle, expected the cell")
        printed = self._numbers([match.groups()[:3] for _, match in vectors])
        parameters = self._numbers([match[4] for _, match in vectors] + [m[1] for _, m in angles])
        exact = Cell.fromcellpar(parameters).array
        # The rotation that fits best: W. Kabsch, Acta Cryst. A32, 922 (1976).
        left, _, right = np.linalg.svd(exact.T @ printed)
        return np.asarray(exact @ (left @ right))

    def _pbc(self) -> list[bool]:
        directions = {match[1].upper() for _, match in self._all(_PERIODICITY)}
        if len(directions) != 1:
            found = ", ".join(sorted(directions)) or "nothing"
            raise self._error(f"has the Periodicity {found}, expected one value")
        periodic = directions.pop()
        return [periodic != "NONE" and axis in periodic for axis in "XYZ"]

    def _all(self, pattern: re.Pattern[str]) -> list[tuple[int, re.Match[str]]]:
        """The lines with a pattern: their places and matches."""
        return [(k, match) for k, line in enumerate(self.lines) if (match := pattern.match(line))]

    def _only(self, pattern: re.Pattern[str], what: str) -> tuple[int, re.Match[str]]:
        matches = self._all(pattern)
        if len(matches) != 1:
            raise self._error(f"has {len(matches)} times the {what}, expected it once")
        return matches[0]

    def _table(self, place: int, row: re.Pattern[str]) -> list[tuple[str, ...]]:
        """The rows below a headline, from which blank lines and names of columns part them."""
        first = next(
            (k for k in range(place + 1, place + 5) if row.match("".join(self.lines[k : k + 1]))),
            len(self.lines),
        )
        rows = []
        for line in self.lines[first:]:
            match = row.match(line)
            if match is None:
                break
            rows.append(match.groups())
        return rows

    def _numbers(self, texts: Sequence[Any]) -> NDArray[np.float64]:
        try:
            return np.array(texts, dtype=np.float64)
        except ValueError as error:
            raise self._error(f"has a field that is no number ({error})") from None

    def _unit(self, name: str, table: dict[str, float], what: str) -> float:
        if name.lower() not in table:
            raise self._error(f"has {what} in {name}, expected {' or '.join(table)}")
        return table[name.lower()]

    def _error(self, sentence: str) -> FileError:
        return FileError(f"{self.path}: a run of CP2K {sentence}")
