"""`torchml predict MODEL DATA`: energies, forces and stress of a data set, in a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from torchml.data.ranks import device_of_rank, launched_rank
from torchml.data.tools.arguments import add_reading_options, keys_of
from torchml.errors import DataError
from torchml.evaluation.leaderboard import DTYPES, TASKS, VERSIONS
from torchml.evaluation.prediction_run import FORMATS, predict_to_file


def texts() -> dict[str, Any]:
    """Return the texts of the parser of the command."""
    return {
        "description": "Predict energies (eV), forces (eV/Å) and stress (eV/Å³) of a data set. A "
        "run that was interrupted continues with the same command. Ranks of torchrun, srun and "
        "mpirun share the work.",
        "epilog": "With --config FILE or --ckpt_path, torchml predict is the command of a training "
        "instead: see torchml fit --help.",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "model",
        help="checkpoint of a training, folder of a portable model, .pt or .pt2 archive, or name "
        "of an installed KIM model",
    )
    parser.add_argument("data", nargs="*", metavar="DATA", help="files, folders or wildcards")
    parser.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="NAME=DATA",
        help="data of one split of a leaderboard, instead of DATA; once for each: id, ood_ads, "
        "ood_cat, ood_both (OC20), or id, ood (OC22)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="file to write, .extxyz, .npz (leaderboard) or .json (OCP's predictions.json); it is "
        "replaced when all results are there (default: predictions.extxyz, or predictions.npz for "
        "a leaderboard)",
    )
    parser.add_argument(
        "--output-format", choices=FORMATS, help="format of FILE (default: that of its ending)"
    )
    parser.add_argument(
        "--task",
        choices=TASKS,
        default="s2ef",
        help="s2ef: energy and forces (default); is2re: the energy alone, by a model for relaxed "
        "energies",
    )
    parser.add_argument(
        "--leaderboard",
        type=int,
        choices=VERSIONS,
        help="layout of .npz: EvalAI's of 2021 or of 2024, or fairchem's of 2026 (default)",
    )
    parser.add_argument(
        "--prediction-dtype",
        choices=DTYPES,
        help="type of the numbers in .npz (default: float16 for 2021 and 2024, float32 for OC22 in "
        "2024, float64 for 2026)",
    )
    parser.add_argument("--stress", action="store_true", help="predict the stress too, eV/Å³")
    parser.add_argument(
        "--atom-energies", action="store_true", help="predict the energy of each atom too, eV"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:K")
    parser.add_argument(
        "--batch-edges",
        type=int,
        metavar="N",
        help="pairs of neighbours in one call of the model; fewer need less memory (default: as "
        "many as take about 10 ms on a CPU, 2,000,000 on a GPU; where memory runs out, fewer are "
        "used)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="threads that read ahead (default: 1 on a GPU, 0 on a CPU)",
    )
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Predict, write the file, and say what it holds."""
    for word, value, least in (
        ("batch-edges", options.batch_edges, 1),
        ("workers", options.workers, 0),
    ):
        if value is not None and value < least:
            raise DataError(f"--{word} is {value}, expected {least} or more")
    if bool(options.data) == bool(options.split):
        raise DataError("expected either DATA or --split NAME=DATA")
    for_leaderboard = options.leaderboard or options.split
    output = options.output or f"predictions.{'npz' if for_leaderboard else 'extxyz'}"
    predictions = predict_to_file(
        options.model,
        _splits(options.split) if options.split else options.data,
        output,
        output_format=options.output_format,
        leaderboard=options.leaderboard,
        task=options.task,
        dtype=options.prediction_dtype,
        stress=options.stress,
        particle_energies=options.atom_energies,
        device=device_of_rank(options.device),
        batch_edges=options.batch_edges,
        workers=options.workers,
        ranks=launched_rank(),
        keys=keys_of(options.keys),
        format=options.format,
        broken=options.broken,
    )
    if predictions is not None:
        print(f"{output}: predictions for {len(predictions)} structures")
    return 0


def _splits(words: list[str]) -> dict[str, list[Path]]:
    splits: dict[str, list[Path]] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise DataError(f"--split has '{word}', expected NAME=DATA, such as id=test_id.lmdb")
        splits.setdefault(name, []).append(Path(path))
    return splits
