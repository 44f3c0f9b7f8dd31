"""Active learning: a committee finds, in LAMMPS, the structures that its training data lack.

    python examples/active_learning.py [--output active-output]

The first ten structures are crystals of silicon with displaced atoms. In each of three rounds a
committee of three networks is trained and exported, LAMMPS heats a crystal with it and records
how much the members differ, and ten of the structures where they differ most are labelled and join
the training data. The labels come from the potential of Stillinger and Weber. For comparison, the
same committee learns from as many displaced crystals. Both are tested on structures of dynamics
with the true potential, from the crystal to the melt; active-output/active.png shows the errors.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import active_figure
import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.langevin import Langevin
from rich.console import Console

from torchml import Potential, TorchMLError, export_model
from torchml.data.tools.stillinger_weber import StillingerWeberCalculator
from torchml.inference import evaluate_many
from torchml.inference.deviation_files import Deviations, read_deviations
from torchml.training.cli import main as torchml_command
from torchml.validation.lammps import run_lammps

HERE = Path(__file__).parent
CONFIGURATION, INPUT = HERE / "active_learning.yaml", HERE / "in.heating"
NAME = "Active_PaiNN_Si"
MEMBERS = 3


@dataclass(frozen=True)
class Size:
    """How much is computed.

    Attributes:
        rounds: of active learning.
        first: displaced crystals at the start.
        added: structures that a round adds.
        tested: structures of the test.
        cells: cubic cells along each edge of a structure, of 8 atoms each.
        training_steps: of each member.
        heating_steps: of LAMMPS in a round, 1 fs each.
        interval: steps between records.
    """

    rounds: int = 3
    first: int = 10
    added: int = 10
    tested: int = 40
    cells: int = 2
    training_steps: int = 400
    heating_steps: int = 3000
    interval: int = 20


HOT = 2500.0  # K, at the end of the heating: silicon melts
TRUST = 0.1, 3.0  # eV/Å: members that differ less agree, members that differ more are lost
DISPLACEMENT = 0.1  # Å
LIMIT = 0.5  # error of active learning over that of displaced crystals


@dataclass(frozen=True)
class Round:
    """A committee and what it was found to know.

    Attributes:
        structures: that it learned from.
        error: mean absolute error of its force components on the test (eV/Å).
        records: deviations in LAMMPS; empty where it was not heated.
    """

    structures: int
    error: float
    records: Sequence[Deviations] = ()


def main() -> int:
    """Run the example; 0 if active learning halves the error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("active-output"), metavar="FOLDER")
    output: Path = parser.parse_args().output
    started = time.perf_counter()
    try:
        rounds, random = run(output, Size())
    except TorchMLError as error:
        print(f"active_learning: {error}", file=sys.stderr)
        return 1
    active_figure.draw(rounds, random, output / "active.png")
    ratio = rounds[-1].error / random.error
    print(
        f"the force error of {rounds[-1].structures} structures is {ratio:.2f} of that of as many"
    )
    print(f"displaced crystals (at most {LIMIT}); {time.perf_counter() - started:.0f} s;", end=" ")
    print(f"see {output / 'active.png'}")
    return 0 if ratio <= LIMIT else 1


def run(output: Path, size: Size) -> tuple[list[Round], Round]:
    """Learn actively, and from displaced crystals; the rounds of the former, and the latter."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # threads slow down small batches
    output.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    test = dynamics(size, generator)
    learned = [displaced(size, generator) for _ in range(size.first)]
    rounds = []
    for number in range(size.rounds + 1):
        folder = output / f"round{number}"
        model = train(folder, learned, size)
        records: Sequence[Deviations] = ()
        if number < size.rounds:
            records, candidates = heat(model, folder, size, seed=number + 1)
            chosen = choose(records, size.added)
            added = [labelled(candidates[k]) for k in chosen]
        rounds.append(Round(len(learned), force_error(folder / model, test), records))
        report(f"round {number}", rounds[-1])
        learned = [*learned, *added]
    count = rounds[-1].structures
    model = train(output / "random", [displaced(size, generator) for _ in range(count)], size)
    random = Round(count, force_error(output / "random" / model, test))
    report("displaced", random)
    return rounds, random


def report(name: str, one: Round) -> None:
    """Print a line about a committee."""
    largest = max((record.largest for record in one.records), default=float("nan"))
    Console(highlight=False).print(
        f"{name}: {one.structures} structures, force error {one.error:.3f} eV/Å, "
        f"largest deviation in LAMMPS {largest:.2f} eV/Å"
    )


# --- Structures and their labels ------------------------------------------------------------------


def silicon(size: Size) -> Atoms:
    """The crystal."""
    return bulk("Si", "diamond", a=5.431, cubic=True) * ([size.cells] * 3)


def displaced(size: Size, generator: np.random.Generator) -> Atoms:
    """A crystal whose atoms are displaced at random."""
    atoms = silicon(size)
    atoms.positions += generator.normal(0.0, DISPLACEMENT, atoms.positions.shape)
    return labelled(atoms)


def dynamics(size: Size, generator: np.random.Generator) -> list[Atoms]:
    """Structures of a crystal that is heated until it melts, with the true potential."""
    atoms = silicon(size)
    atoms.calc = StillingerWeberCalculator()
    run = Langevin(
        atoms, 2 * units.fs, temperature_K=300.0, friction=0.02 / units.fs, rng=generator
    )
    found = []
    for temperature in np.linspace(300.0, HOT, size.tested):
        run.set_temperature(temperature_K=temperature)
        run.run(size.interval)
        found.append(labelled(atoms))
    return found


def labelled(atoms: Atoms) -> Atoms:
    """A copy with energy and forces of the potential of Stillinger and Weber."""
    copy = Atoms("Si" * len(atoms), atoms.positions, cell=atoms.cell, pbc=True)
    copy.calc = StillingerWeberCalculator()
    energy, forces = copy.get_potential_energy(), copy.get_forces()
    copy.calc = SinglePointCalculator(copy, energy=energy, forces=forces)
    return copy


# --- One round ------------------------------------------------------------------------------------


def train(folder: Path, structures: Sequence[Atoms], size: Size) -> str:
    """Train a committee and install it; its name as a KIM model."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "train.extxyz", list(structures))
    words = ["--config", str(CONFIGURATION), "--members", str(MEMBERS), "--overwrite", "true"]
    words += ["--data.train", str(folder / "train.extxyz")]
    words += ["--trainer.default_root_dir", str(folder / "run")]
    words += ["--trainer.max_steps", str(size.training_steps)]
    if torchml_command(["fit", *words]) != 0:
        raise TorchMLError(f"the committee in {folder} could not be trained")
    name = f"{NAME}__MO_000000000000_000"
    shutil.rmtree(folder / name, ignore_errors=True)
    export_model(
        folder / "run",
        committee=True,
        name=name,
        output=folder,
        install="environment",
        overwrite=True,
    )
    return name


def heat(model: str, folder: Path, size: Size, seed: int) -> tuple[list[Deviations], list[Atoms]]:
    """Heat a crystal in LAMMPS until it melts or the members differ too much.

    Returns:
        The records of the deviations, and the structure of each.
    """
    file = folder / "deviations.txt"
    settings = {
        "TORCHML_DEVIATIONS": str(file.resolve()),
        "TORCHML_DEVIATIONS_EVERY": str(size.interval),
        "TORCHML_DEVIATIONS_STOP": str(TRUST[1]),
    }
    variables = {
        "model": model,
        "cells": str(size.cells),
        "steps": str(size.heating_steps),
        "interval": str(size.interval),
        "hot": str(HOT),
        "seed": str(1000 * seed),
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        run_lammps(INPUT.read_text(), folder, variables=variables)
    except TorchMLError:
        if not file.is_file():  # else it is the stop that was asked for
            raise
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    frames = read(folder / "dump.txt", ":", format="lammps-dump-text")
    records = read_deviations([file])[: len(frames)]
    return records, frames[: len(records)]


def choose(records: Sequence[Deviations], count: int) -> list[int]:
    """The records to learn from: those where the members differ, evenly over time.

    If there are too few, the others with the largest deviations are taken too.
    """
    doubtful = [k for k, one in enumerate(records) if TRUST[0] <= one.largest <= TRUST[1]]
    if len(doubtful) < count:
        order = sorted(range(len(records)), key=lambda k: -records[k].largest)
        return order[:count]
    return [doubtful[int(k)] for k in np.linspace(0, len(doubtful) - 1, count)]


def force_error(model: Path, structures: Sequence[Atoms]) -> float:
    """Mean absolute error of the force components (eV/Å)."""
    found = evaluate_many(Potential(model), list(structures))
    errors = [
        np.abs(one.forces - atoms.get_forces()).mean()
        for one, atoms in zip(found, structures, strict=True)
    ]
    return float(np.mean(errors))


if __name__ == "__main__":
    sys.exit(main())
