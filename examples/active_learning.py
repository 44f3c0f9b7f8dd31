"""Active learning: a committee finds, in LAMMPS, the structures that its training data lack.

    python examples/active_learning.py [--output demo-output/active] [--seed 0]

Ten crystals of silicon, strained and with displaced atoms, train a committee of four networks. In
each of three rounds LAMMPS heats, stretches and compresses a crystal with the committee, three
times, until it melts or the members differ too much. Twenty of the structures where they differ
most, but not so much that no silicon has such a structure, are labelled with OpenKIM's
Stillinger-Weber model, and the committee is trained again. For comparison it is also trained on
seventy crystals that were drawn like the first ten. The test is the same simulation with the true
potential, another trajectory. demo-output/active/active.png shows the errors; the exit status is 0
if that of the forces is at most half of that of random crystals.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import active_figure
import numpy as np
import silicon_data
import torch
from ase import Atoms
from ase.calculators.kim import KIM
from ase.io import read, write
from numpy.typing import NDArray
from rich.console import Console

from torchml import Potential, TorchMLError, export_model
from torchml.inference import evaluate_many
from torchml.inference.deviation_files import Deviations, read_deviations
from torchml.training.cli import run
from torchml.validation.lammps import run_lammps

HERE = Path(__file__).parent
CONFIGURATION, INPUT = HERE / "active_learning.yaml", HERE / "in.heating"
NAME = "Active_ACE_Si"
INTERVAL = 10  # steps of LAMMPS between records, 1 fs each
APART = 50  # steps between structures to learn from: closer ones are much alike
TRUSTED = 3.0  # eV/Å: structures where members differ by more do not occur, and are not labelled
STOP = 8.0  # eV/Å: where members differ by more, the simulation does not come back
LIMIT = 0.5  # error of active learning over that of random crystals


@dataclass(frozen=True)
class Size:
    """How much is computed.

    Attributes:
        rounds: of active learning.
        structures: at the start.
        added: structures that each round labels.
        members: of the committee.
        training_steps: of each member.
        heatings: simulations of a round, from other random numbers.
        heating_steps: of LAMMPS in a simulation.
        tested: structures of the test.
    """

    rounds: int = 3
    structures: int = 10
    added: int = 20
    members: int = 4
    training_steps: int = 400
    heatings: int = 3
    heating_steps: int = 3000
    tested: int = 60


@dataclass(frozen=True)
class Accuracy:
    """Errors and deviations of a committee on the structures of the test.

    Attributes:
        structures: number of structures that it learned from.
        error: mean absolute error of the forces (eV/Å).
        largest_errors: of the force on an atom in each test structure (eV/Å).
        largest_deviations: of the force on an atom in each test structure (eV/Å).
    """

    structures: int
    error: float
    largest_errors: NDArray[np.float64]
    largest_deviations: NDArray[np.float64]


@dataclass(frozen=True)
class Heating:
    """One simulation.

    Attributes:
        records: the deviations that the driver recorded.
        structures: those of the records; of a record that stopped LAMMPS there is none.
    """

    records: list[Deviations]
    structures: list[Atoms]


@dataclass(frozen=True)
class Learning:
    """Results of the example.

    Attributes:
        rounds: of the committees, from that of the first structures to the last one.
        heatings: of each round.
        random: of the committee of random crystals.
    """

    rounds: list[Accuracy]
    heatings: list[list[Heating]]
    random: Accuracy

    @property
    def ratio(self) -> float:
        """Error of active learning over that of random crystals."""
        return self.rounds[-1].error / self.random.error


def main() -> int:
    """Run the example; 0 if active learning at least halves the error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo-output/active"), metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    started = time.perf_counter()
    try:
        learning = learn(options.output, options.seed, Size(), console)
    except TorchMLError as error:
        print(f"active_learning: {error}", file=sys.stderr)
        return 1
    picture = options.output / "active.png"
    active_figure.draw(learning, STOP, picture)
    console.print(
        f"\nThe error of the forces is {learning.ratio:.2f} of that of as many random crystals "
        f"(limit {LIMIT}); {time.perf_counter() - started:.0f} s; see {picture}"
    )
    return 0 if learning.ratio <= LIMIT else 1


def learn(output: Path, seed: int, size: Size, console: Console) -> Learning:
    """Learn in rounds, and from random crystals."""
    silicon_data.check_environment()
    # Threads help little with small batches, and slow down where cores are shared.
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"
    generator = np.random.default_rng(seed)
    test = test_structures(output / "test", generator, size)
    random = crystals(size.structures + size.rounds * size.added, generator)

    def committee(structures: Sequence[Atoms], name: str) -> tuple[Path, Accuracy]:
        model = train(structures, output / name, seed, size)
        accuracy = accuracy_of(model, len(structures), test)
        console.print(
            f"{name}: {accuracy.structures} structures, force error {accuracy.error:.3f} eV/Å"
        )
        return model, accuracy

    structures = random[: size.structures]
    model, accuracy = committee(structures, "round0")
    rounds: list[Accuracy] = [accuracy]
    heatings: list[list[Heating]] = []
    for number in range(size.rounds):
        folders = [output / f"round{number}/heating{k}" for k in range(size.heatings)]
        heatings.append([explore(model.name, folder, generator, size) for folder in folders])
        chosen = choose(heatings[-1], size.added)
        console.print(f"  LAMMPS: {summary(heatings[-1])}; {len(chosen)} structures are labelled")
        structures = [*structures, *labelled(chosen)]
        model, accuracy = committee(structures, f"round{number + 1}")
        rounds.append(accuracy)
    _, accuracy = committee(random[: len(structures)], "random")
    return Learning(rounds, heatings, accuracy)


def summary(heatings: Sequence[Heating]) -> str:
    """Lengths and largest deviation of some heatings."""
    steps = ", ".join(str(heating.records[-1].evaluation) for heating in heatings)
    largest = max(record.largest for heating in heatings for record in heating.records)
    return f"{steps} steps, largest deviation {largest:.2f} eV/Å"


# --- Structures and their labels ------------------------------------------------------------------


def crystals(count: int, random: np.random.Generator) -> list[Atoms]:
    """Strained crystals whose atoms are displaced at random."""
    return labelled([silicon_data.strained(random) for _ in range(count)])


def labelled(structures: Sequence[Atoms]) -> list[Atoms]:
    """Copies with the energy and forces of OpenKIM's Stillinger-Weber model."""
    native = silicon_data.find_native()
    with silicon_data.inside_scratch():
        calculator = KIM(native)
        found = []
        for structure in structures:
            atoms = structure.copy()
            atoms.calc = calculator
            found.append(silicon_data.with_labels(atoms, "silicon"))
        return found


def test_structures(folder: Path, generator: np.random.Generator, size: Size) -> list[Atoms]:
    """What the simulation visits with the true potential, without its start, the lattice."""
    interval = size.heating_steps // size.tested
    heat(silicon_data.find_native(), folder, generator, size, interval)
    return labelled(visited(folder)[1:])


# --- One round ------------------------------------------------------------------------------------


def train(structures: Sequence[Atoms], folder: Path, seed: int, size: Size) -> Path:
    """Train a committee and install it; return its folder, whose name is that of the KIM model."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "train.extxyz", list(structures))
    options = {
        "--config": CONFIGURATION,
        "--members": size.members,
        "--seed_everything": seed,
        "--data.train": folder / "train.extxyz",
        "--trainer.max_steps": size.training_steps,
        "--trainer.default_root_dir": folder / "run",
        "--overwrite": "true",
    }
    words = [str(word) for option in options.items() for word in option]
    with (folder / "training.txt").open("w") as log, redirect_stdout(log):
        run(["fit", *words])
    result = export_model(
        folder / "run",
        committee=True,
        name=NAME,
        output=folder,
        install="environment",
        overwrite=True,
    )
    return Path(result.folder)


def explore(model: str, folder: Path, generator: np.random.Generator, size: Size) -> Heating:
    """Heat a crystal, until it melts or the members differ by more than STOP."""
    file = folder / "deviations.txt"
    settings = {"": file.resolve(), "_EVERY": INTERVAL, "_STOP": STOP}
    environment = {f"TORCHML_DEVIATIONS{end}": str(value) for end, value in settings.items()}
    file.unlink(missing_ok=True)
    try:
        heat(model, folder, generator, size, INTERVAL, environment)
    except TorchMLError:
        if not file.exists() or read_deviations([file])[-1].largest <= STOP:
            raise
    return Heating(read_deviations([file]), visited(folder))


def heat(
    model: str,
    folder: Path,
    generator: np.random.Generator,
    size: Size,
    interval: int,
    environment: Mapping[str, str] = {},
) -> None:
    """Run in.heating in a folder, with an installed KIM model."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = {"model": model, "seed": generator.integers(1, 10**6)}
    variables |= {"steps": size.heating_steps, "interval": interval}
    words = {name: str(value) for name, value in variables.items()}
    run_lammps(INPUT.read_text(), folder, variables=words, environment=environment)


def visited(folder: Path) -> list[Atoms]:
    """The structures that in.heating wrote."""
    structures: list[Atoms] = read(folder / "dump.txt", ":", format="lammps-dump-text")
    return structures


def choose(heatings: Sequence[Heating], count: int) -> list[Atoms]:
    """The structures with the largest deviations up to TRUSTED, APART steps from each other."""
    found = [
        (record.largest, number, record.evaluation, atoms)
        for number, heating in enumerate(heatings)
        for record, atoms in zip(heating.records, heating.structures, strict=False)
        if record.largest <= TRUSTED
    ]
    chosen: list[tuple[int, int, Atoms]] = []
    for _, number, step, atoms in sorted(found, key=lambda one: -one[0]):
        others = [other for where, other, _ in chosen if where == number]
        if len(chosen) < count and all(abs(step - other) >= APART for other in others):
            chosen.append((number, step, atoms))
    return [atoms for _, _, atoms in chosen]


def accuracy_of(model: Path, learned: int, structures: Sequence[Atoms]) -> Accuracy:
    """Compare a committee, by the C++ code that LAMMPS runs, with the labels."""
    errors, largest_errors, largest_deviations = [], [], []
    found = evaluate_many(Potential(model), structures, members=True)
    for evaluation, atoms in zip(found, structures, strict=True):
        difference = evaluation.forces - atoms.get_forces()
        errors.append(np.abs(difference).mean())
        largest_errors.append(np.linalg.norm(difference, axis=1).max())
        largest_deviations.append(evaluation.members.force_deviations.max())
    return Accuracy(
        learned, float(np.mean(errors)), np.array(largest_errors), np.array(largest_deviations)
    )


if __name__ == "__main__":
    sys.exit(main())
