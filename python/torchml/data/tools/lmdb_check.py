"""Every row of LMDB files is opened: `torchml data lmdb-check FILE...`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml.data.configuration import Configuration
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
        task: s2ef, is2re, is2rs, none, or None to take it from the first good row.
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
    for index in track(range(len(rows)), f"checking {path.name}", len(rows)):
        try:
            c = rows.read(index)
        except TorchMLError as error:
            report.faults.append(f"row {index}: {error}")
            continue
        task = task or _task(c)
        report.faults += [
            f"row {index}: {c.name} has no {name}"
            for name, attribute in TARGETS.get(task, {}).items()
            if getattr(c, attribute) is None
        ]
    if format == "lmdb" and task == "s2ef" and not _has_length(path):
        report.faults.append(f"{path} has no key 'length', which OCP needs for S2EF")
    return report


def _task(c: Configuration) -> str:
    """The task for which a row was made; "none" if it has no labels."""
    if c.energy is not None or c.forces is not None:
        return "s2ef"
    if c.relaxed_energy is not None:
        return "is2re"
    return "is2rs" if c.relaxed_positions is not None else "none"


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
        help="targets that each row must have; by default those of the first row",
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
