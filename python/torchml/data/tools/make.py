"""A data set of a potential whose values are exact: `torchml data make -o OUTPUT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import BFGS

from torchml.data.configuration import Configuration
from torchml.data.progress import track
from torchml.data.reading import read
from torchml.data.tools.arguments import Destination, add_output
from torchml.data.tools.statistics import plot, statistics
from torchml.data.tools.stillinger_weber import StillingerWeberCalculator
from torchml.data.tools.structures import METALS, SILICON, Kinds, rattled
from torchml.errors import DataError

TASKS = ("s2ef", "is2re", "is2rs")


@dataclass(frozen=True)
class Potential:
    """A calculator, and the structures that it can compute."""

    calculator: Callable[[], Calculator]
    kinds: Kinds


POTENTIALS = {
    "emt": Potential(EMT, METALS),
    "sw": Potential(StillingerWeberCalculator, SILICON),
}


@dataclass(frozen=True)
class Recipe:
    """What a data set contains; equal recipes make equal data sets.

    Attributes:
        task: s2ef (energies and forces), or is2re and is2rs, which are the same rows: where a
            relaxation begins, with the energies of begin and end, and the positions of the end.
        potential: emt (ASE's effective medium theory) or sw (Stillinger and Weber's silicon).
        kinds: of structures, in turn: crystals, slabs, molecules.
        systems: number of structures.
        frames: s2ef: displaced copies of each structure, with one sid and several fid.
        rattle: standard deviation of random displacements, Å.
        fmax: where a relaxation ends: largest force on an atom, eV/Å.
        steps: at most so many steps of a relaxation.
        seed: of everything random; the first structures do not depend on their number.
    """

    task: str = "s2ef"
    potential: str = "emt"
    kinds: Sequence[str] = ("crystals", "slabs", "molecules")
    systems: int = 100
    frames: int = 1
    rattle: float = 0.05
    fmax: float = 0.02
    steps: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        known = POTENTIALS[self.potential].kinds
        for kind in self.kinds:
            if kind not in known:
                raise DataError(
                    f"{self.potential} has no {kind}, expected kinds among {', '.join(known)}"
                )
        for name, least in (("systems", 1), ("frames", 1), ("steps", 1), ("rattle", 0)):
            if getattr(self, name) < least:
                raise DataError(f"{name} is {getattr(self, name)}, expected {least} or more")
        if not self.fmax > 0:
            raise DataError(f"fmax is {self.fmax}, expected more than 0")
        if self.task != "s2ef" and self.frames != 1:
            raise DataError(f"{self.task} has one row for each system, expected no --frames")

    @property
    def rows(self) -> int:
        return self.systems * self.frames


class Maker:
    """Makes the configurations of a recipe, one after the other.

    Attributes:
        unfinished: number of relaxations that ended at the limit of steps.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.unfinished = 0
        self._potential = POTENTIALS[recipe.potential]

    def __iter__(self) -> Iterator[Configuration]:
        recipe = self.recipe
        for k in range(recipe.systems):
            kind = recipe.kinds[k % len(recipe.kinds)]
            rng = np.random.default_rng([recipe.seed, k])
            atoms = self._potential.kinds[kind](rng)
            for frame in range(recipe.frames):
                displaced = rattled(atoms, recipe.rattle, rng)
                if recipe.task == "s2ef":
                    yield self._labelled(displaced, kind, k, frame)
                else:
                    yield self._relaxed(displaced, kind, k)

    def _labelled(self, atoms: Atoms, kind: str, sid: int, fid: int) -> Configuration:
        atoms.calc = self._potential.calculator()
        results = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(apply_constraint=False),
        }
        if kind == "crystals":
            results["stress"] = atoms.get_stress(apply_constraint=False)
        atoms.calc = SinglePointCalculator(atoms, **results)
        return _configuration(atoms, kind, sid=str(sid), fid=str(fid))

    def _relaxed(self, atoms: Atoms, kind: str, sid: int) -> Configuration:
        relaxed = atoms.copy()
        relaxed.calc = self._potential.calculator()
        initial_energy = relaxed.get_potential_energy()
        optimizer = BFGS(relaxed, logfile=None)
        self.unfinished += not optimizer.run(self.recipe.fmax, self.recipe.steps)
        return _configuration(
            atoms,
            kind,
            sid=str(sid),
            relaxed_positions=relaxed.positions,
            relaxed_energy=relaxed.get_potential_energy(),
            initial_energy=initial_energy,
        )


def _configuration(atoms: Atoms, kind: str, **more: Any) -> Configuration:
    results = {} if atoms.calc is None else atoms.calc.results
    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        fixed[constraint.index] = True
    return Configuration(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell.array,
        pbc=atoms.pbc,
        fixed=fixed,
        tags=atoms.get_tags(),
        group=kind,
        **results,
        **more,
    )


def texts() -> dict[str, Any]:
    return {
        "description": "Make a data set from a classical potential: metals and small molecules "
        "with ASE's EMT, or silicon with Stillinger and Weber's. Equal options make equal data.",
        "epilog": "Example: torchml data make -o is2re.lmdb --task is2re --kinds slabs "
        "--systems 50 --seed 1",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = Recipe()
    add_output(parser)
    parser.add_argument(
        "--task",
        choices=TASKS,
        default=default.task,
        help="s2ef: energies and forces; is2re, is2rs: initial structures, with the energy and "
        "the positions at the end of a relaxation (default s2ef)",
    )
    parser.add_argument(
        "--potential",
        choices=tuple(POTENTIALS),
        default=default.potential,
        help="emt: effective medium theory; sw: Stillinger and Weber's silicon (default emt)",
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=tuple(METALS),
        metavar="KIND",
        help="crystals, slabs, molecules, in turn; default: all that the potential can compute",
    )
    numbers: tuple[tuple[str, type, str], ...] = (
        ("systems", int, "number of structures"),
        ("frames", int, "s2ef: displaced copies of each structure"),
        ("rattle", float, "standard deviation of random displacements, Å"),
        ("fmax", float, "relaxations end below this force, eV/Å"),
        ("steps", int, "relaxations end after so many steps"),
        ("seed", int, "of everything random"),
    )
    for name, kind, text in numbers:
        value = getattr(default, name)
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"{text}; default {value}")
    parser.add_argument("--plot", metavar="FILE", help="write histograms into a PNG file")


def run(options: argparse.Namespace) -> int:
    names = ("task", "potential", "systems", "frames", "rattle", "fmax", "steps", "seed")
    kinds = options.kinds or tuple(POTENTIALS[options.potential].kinds)
    recipe = Recipe(kinds=kinds, **{name: getattr(options, name) for name in names})
    destination = Destination.of(options.output, options.to, options.force)
    maker = Maker(recipe)
    destination.write(track(maker, "making structures", recipe.rows))
    print(f"{destination.path}: {recipe.rows} configurations, {destination.format}")
    if maker.unfinished:
        print(
            f"{maker.unfinished} of {recipe.systems} relaxations ended after {recipe.steps} steps, "
            f"above {recipe.fmax} eV/Å",
            file=sys.stderr,
        )
    if options.plot:
        plot(statistics(read(destination.path, format=destination.format)), options.plot)
    return 0
