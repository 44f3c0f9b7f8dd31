"""`torchml deviations`: merge what the ranks of a simulation recorded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchml.inference.deviation_files import Deviations

_DESCRIPTION = """\
Merge the files that the ranks of a simulation with a committee wrote where TORCHML_DEVIATIONS names
a file (docs/uncertainty.md), and print a line for each evaluation, or write them as a table.

  evaluation   its number; in LAMMPS, the step of the first run
  atoms        number of atoms
  largest      largest deviation of the force on an atom (eV/Å)
  mean         mean deviation of the forces on all atoms (eV/Å)
  energy       deviation of the total energy (eV)
  above        atoms above TORCHML_DEVIATIONS_ABOVE

A deviation is the sample standard deviation over the members.
"""

_COLUMNS = ("evaluation", "atoms", "largest", "mean", "energy", "above")


def texts() -> dict[str, Any]:
    """Description and its format, for the parser of the command."""
    return {
        "description": _DESCRIPTION,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="the file of each rank, such as dev.*"
    )
    parser.add_argument(
        "--atoms", action="store_true", help="also print the atoms above the threshold"
    )
    parser.add_argument(
        "--output", type=Path, metavar="CSV", help="write the lines as comma-separated values"
    )


def run(options: argparse.Namespace) -> int:
    """Merge, and print or write."""
    from torchml.data.output import written_then_renamed
    from torchml.inference.deviation_files import read_deviations

    found = read_deviations(options.files)
    if options.output is not None:
        with written_then_renamed(options.output) as draft:
            draft.write_text(_table(found, ","), encoding="utf-8")
        print(f"wrote {options.output}: {len(found)} evaluations")
        return 0
    print(_table(found, "  ", atoms=options.atoms), end="")
    return 0


def _table(found: Sequence[Deviations], separator: str, atoms: bool = False) -> str:
    lines = [separator.join(_COLUMNS)]
    for one in found:
        figures = (one.largest, one.mean, one.energy_deviation)
        cells = [one.evaluation, one.atoms, *(f"{value:.6g}" for value in figures), len(one.above)]
        lines.append(separator.join(map(str, cells)))
        if atoms:
            for atom in one.above:
                position = " ".join(f"{x:.6f}" for x in atom.position)
                lines.append(f"    {atom.symbol} {position}  {atom.deviation:.6g}")
    return "".join(f"{line}\n" for line in lines)
