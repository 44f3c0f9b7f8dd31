"""Every row of LMDB files is opened: `torchml data lmdb-check FILE...`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml.data.files import find_files
from torchml.data.formats.aselmdb import AseLmdbConfigurations
from torchml.data.formats.lmdb_file import LmdbFile
from torchml.data.formats.lmdb_rows import LmdbConfigurations
from torchml.data.keys import Keys
from torchml.data.progress import track
from torchml.data.tools.arguments import keys_of
from torchml.errors import TorchMLError

# What the rows of a task must have, and the fields that hold it.
TARGETS = {
    "s2ef": {"energy": "energy", "forces": "forces"},
    "is2re": {"y_relaxed": "relaxed_energy"},
    "is2rs": {"pos_relaxed": "relaxed_positions"},
}
_TARGETS = {name: field for targets in TARGETS.values() for name, field in targets.items()}
_SHOWN = 20  # faults of a file that are printed


@dataclass
class Report:
    """What is in a file.

    Attributes:
        path: of the file.
        rows: number of rows.
        faults: sentences.
    """

    path: Path
    rows: int = 0
    faults: list[str] = field(default_factory=list)


def check(path: Path, format: str, task: str | None, keys: Keys) -> Report:
    """Open every row of a file; nothing in it is run.

    Args:
        path: of the file.
        format: lmdb or aselmdb.
        task: s2ef, is2re, is2rs or none; None: each row must have the targets that any row has.
        keys: names of the labels.
    """
    report = Report(path)
    reader = {"lmdb": LmdbConfigurations, "aselmdb": AseLmdbConfigurations}[format]
    try:
        rows = reader(path, keys, None)
    except TorchMLError as error:
        report.faults.append(str(error))
        return report
    report.rows = len(rows)
    found: list[tuple[int, str]] = []
    lacking: dict[str, list[int]] = {name: [] for name in _TARGETS}
    good = 0
    for index in track(range(len(rows)), f"checking {path.name}", len(rows)):
        try:
            c = rows.read(index)
        except TorchMLError as error:
            found.append((index, f"row {index}: {error}"))
            continue
        good += 1
        for name, attribute in _TARGETS.items():
            if getattr(c, attribute) is None:
                lacking[name].append(index)
    wanted = [name for name, places in lacking.items() if len(places) < good]
    if task is not None:
        wanted = list(TARGETS.get(task, {}))
    for name in wanted:
        found += [(k, f"row {k}: {path}, configuration {k} has no {name}") for k in lacking[name]]
    report.faults += [sentence for _, sentence in sorted(found, key=lambda fault: fault[0])]
    if format == "lmdb" and "forces" in wanted and not _has_length(path):
        report.faults.append(f"{path} has no key 'length', which OCP needs for S2EF")
    return report


def _has_length(path: Path) -> bool:
    with LmdbFile(path).transaction() as transaction:
        return transaction.get(b"length") is not None


def texts() -> dict[str, Any]:
    return {
        "description": "Open every row of LMDB files (OCP's, or .aselmdb) without running anything "
        "in them, and report rows that are missing or damaged, missing targets, and a missing "
        "'length'. The exit status is 1 if there is any.",
        "epilog": "Example: torchml data lmdb-check s2ef/train --task s2ef",
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, folders or wildcards")
    parser.add_argument("--format", choices=("lmdb", "aselmdb"), help="of files of other names")
    parser.add_argument(
        "--task",
        choices=(*TARGETS, "none"),
        help="targets that each row must have; by default those that any row has",
    )
    parser.add_argument("--keys", nargs="+", default=[], metavar="NAME=VALUE", help="as data.keys")


def run(options: argparse.Namespace) -> int:
    keys = keys_of(options.keys)
    files = [file for path in options.files for file in find_files(path, options.format)]
    good = True
    for path, format in files:
        if format not in ("lmdb", "aselmdb"):
            report = Report(path, faults=[f"{path} is {format}, expected LMDB"])
        else:
            report = check(path, format, options.task, keys)
        print(f"{path}: {report.rows} rows, {len(report.faults)} faults")
        for sentence in report.faults[:_SHOWN]:
            print(f"  {sentence}")
        if len(report.faults) > _SHOWN:
            print(f"  and {len(report.faults) - _SHOWN} more")
        good = good and not report.faults
    return 0 if good else 1
