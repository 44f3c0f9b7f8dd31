"""`torchml evaluate`: the errors of a model, or of a file of predictions, on a data set."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import torchml
from torchml.data.configuration import Configuration
from torchml.data.keys import Keys
from torchml.data.progress import track
from torchml.data.ranks import Ranks, device_of_rank, launched_rank
from torchml.data.reading import read
from torchml.data.tools.arguments import add_reading_options, keys_of
from torchml.errors import DataError
from torchml.evaluation.evaluate_files import PredictedFile, is_predictions, pair, read_predictions
from torchml.evaluation.evaluate_json import Origin, write_json
from torchml.evaluation.evaluate_ranks import merge_ranks
from torchml.evaluation.evaluate_summary import Summary, Task
from torchml.evaluation.evaluating import Pair, check_labels, evaluate
from torchml.evaluation.metrics_table import groups_table, metrics_table

_MOST_ROWS = 20  # of a table in the terminal


def texts() -> dict[str, Any]:
    """Return the texts of the parser of the command."""
    return {
        "usage": "torchml evaluate MODEL DATA... [options]\n"
        "       torchml evaluate PREDICTIONS --reference DATA... [options]",
        "description": "Report the errors of a model, or of a file of predictions, on labelled "
        "data: metrics of whole data sets in meV/atom, eV/Å, GPa, Å and %%, by group and by "
        "element. Ranks of torchrun and mpirun share the work.",
        "epilog": "Example: torchml evaluate best.ckpt test.extxyz --html test.html",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "model",
        metavar="MODEL or PREDICTIONS",
        help="checkpoint, folder of a portable model, .pt or .pt2 archive, or name of an installed "
        "KIM model; or predictions: structures (.extxyz, ...), .npz of a leaderboard, "
        "predictions.json, relaxed_positions.npz, relaxed_pos_*.json",
    )
    parser.add_argument(
        "data", nargs="*", metavar="DATA", help="labelled files, folders, wildcards"
    )
    parser.add_argument(
        "--reference", nargs="+", metavar="DATA", help="the labelled data of a file of predictions"
    )
    parser.add_argument(
        "--task",
        choices=("s2ef", "is2re", "is2rs"),
        help="s2ef: energies, forces and stress (default); is2re: relaxed energies from initial "
        "structures; is2rs: relaxed structures (default for files with positions alone)",
    )
    parser.add_argument(
        "--all-atoms", action="store_true", help="count fixed atoms too (default: free atoms only)"
    )
    parser.add_argument(
        "--calculator",
        metavar="MODEL",
        help="is2rs: model whose forces at the relaxed positions give FbT and AFbT",
    )
    parser.add_argument("--split", help="prefix of the arrays of an .npz file, such as ood_ads")
    parser.add_argument("--json", metavar="FILE", help="write all metrics, in eV and Å")
    parser.add_argument("--html", metavar="FILE", help="write a page with plots and tables")
    parser.add_argument("--title", help="title of the page (default: names of model and data)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:K")
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Evaluate, print tables, and write the files that were requested."""
    ranks = launched_rank()
    inputs = _Inputs(options)
    pairs = inputs.pairs(ranks)
    summary = evaluate(pairs, inputs.task, free_atoms_only=not options.all_atoms)
    whole = merge_ranks(summary, ranks)
    if whole is None:
        return 0
    check_labels(whole, inputs.where)
    print_summary(whole, f"{options.model} on {inputs.where}")
    origin = inputs.origin()
    if options.json:
        write_json(whole, origin, options.json)
        print(f"Metrics are in {options.json}")
    if options.html:
        from torchml.evaluation.report import write_report

        write_report(whole, origin, options.html, options.title)
        print(f"The page is {options.html}")
    return 0


class _Inputs:
    """What the command compares."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.keys: Keys = keys_of(options.keys)
        self.predicted: PredictedFile | None = None
        paths: list[str] = options.reference or options.data
        if options.reference and options.data:
            raise DataError(
                f"both DATA ({' '.join(options.data)}) and --reference are given, expected one"
            )
        if options.reference or (not options.data and is_predictions(options.model)):
            self.predicted = read_predictions(options.model, options.split, self.keys)
        self.configurations = self._read(paths)
        self.paths = paths or [options.model]
        self.where = ", ".join(self.paths)
        self.task = self._task()

    def _read(self, paths: Sequence[str]) -> Sequence[Configuration]:
        if paths:
            return read(paths, self.keys, self.options.format, self.options.broken)
        if self.predicted is not None and self.predicted.labelled is not None:
            return self.predicted.labelled
        what = "--reference with" if self.predicted is not None else "DATA, files with"
        raise DataError(f"{self.options.model} is given alone, expected {what} labelled structures")

    def _task(self) -> Task:
        task: Task | None = self.options.task
        if task is None:
            has_positions = self.predicted is not None and self.predicted.has_positions
            task = "is2rs" if has_positions else "s2ef"
        if task == "is2rs" and self.predicted is None:
            raise DataError(
                "--task is2rs compares relaxed structures, expected a file of them in place of "
                f"the model {self.options.model} (torchml relax writes one)"
            )
        if self.options.calculator and task != "is2rs":
            raise DataError(f"--calculator is for the task is2rs, but the task is {task}")
        return task

    def pairs(self, ranks: Ranks) -> Iterator[Pair]:
        """Yield the configurations of a rank and what is predicted for them."""
        options = self.options
        if self.predicted is None:
            from torchml.evaluation.predicting import predict

            quantities = self.task == "s2ef"
            yield from predict(
                options.model,
                self.configurations,
                forces=quantities,
                stress=quantities,
                device=device_of_rank(options.device),
                ranks=ranks,
            )
            return
        places = ranks.share(len(self.configurations))
        pairs = pair(
            self.predicted,
            self.configurations,
            self.where,
            self.task,
            places,
            not options.all_atoms,
        )
        if options.calculator:
            from torchml.evaluation.evaluate_relaxed import with_forces
            from torchml.inference.potential import Potential

            pairs = with_forces(
                Potential(options.calculator, device_of_rank(options.device)), pairs
            )
        yield from track(pairs, "evaluating", len(places))

    def origin(self) -> Origin:
        """Return what the reports say of model, data and programs."""
        options = self.options
        facts = {"calculator": options.calculator, "split": options.split}
        if self.predicted is None:
            facts["device"] = options.device
        packages = ("torch", "numpy", "ase")
        return Origin(
            options.model,
            self.paths,
            {name: value for name, value in facts.items() if value},
            {
                "torchml": torchml.__version__,
                **{name: version(name) for name in packages},
                "Python": platform.python_version(),
            },
        )


def print_summary(summary: Summary, title: str) -> None:
    """Print the metrics, and tables by group and by element."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{title}: {summary.structures} structures, {summary.atoms} atoms")
    console.print(metrics_table(f"task {summary.task}", summary.metrics, components=True))
    for first, parts in (("group", summary.groups), ("element", summary.elements)):
        table = {name: sums.values() for name, sums in sorted(parts.items())[:_MOST_ROWS]}
        if len(parts) > 1:
            console.print(groups_table(f"by {first}", table, first))
        if len(parts) > _MOST_ROWS:
            console.print(f"... and {len(parts) - _MOST_ROWS} more, in --json and --html")
