"""Options that commands about data share: what is read, and what is written."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torchml.data.configuration import Configuration
from torchml.data.keys import Keys
from torchml.data.notices import notify
from torchml.data.reading import Contents, attach_sizes, notices, read_files
from torchml.data.sequences import Joined
from torchml.data.writing import write_aselmdb, write_extxyz, write_lmdb, write_parquet
from torchml.errors import DataError, FileError

Writer = Callable[[Iterable[Configuration], str | Path], None]
WRITERS: dict[str, Writer] = {
    "extxyz": write_extxyz,
    "lmdb": write_lmdb,
    "aselmdb": write_aselmdb,
    "parquet": write_parquet,
}
_SUFFIXES = {".xyz": "extxyz", ".mdb": "lmdb", **{f".{name}": name for name in WRITERS}}
_IN_FOLDER = "data.0000"  # the name of the file in a folder, as OCP has it


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add the files to read, and how they are read."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, folders or wildcards")
    add_reading_options(parser)


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of how files are read: keys, format, and what becomes of damaged ones."""
    parser.add_argument(
        "--keys",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="names and units of the labels, as data.keys: energy=REF_energy energy_unit=Ha",
    )
    parser.add_argument("--format", help="format of the files, as data.format")
    parser.add_argument(
        "--broken", choices=("error", "skip", "keep"), default="error", help="as data.broken"
    )


def read_source(options: argparse.Namespace) -> tuple[list[Contents], Keys]:
    """Return the contents of the files that the options name, and the keys."""
    keys = keys_of(options.keys)
    files = list(read_files(options.files, keys, options.format, options.broken))
    attach_sizes(files)
    return files, keys


def joined(files: Sequence[Contents]) -> Sequence[Configuration]:
    """Return the configurations of all files; sentences about the files go to stderr."""
    for sentence in notices(files):
        notify(sentence)
    return Joined([file.configurations for file in files])


def keys_of(words: Iterable[str]) -> Keys:
    """Return the keys of words like energy=REF_energy; null ignores a label.

    Raises:
        DataError: a word has another form, or names no key.
    """
    known = {entry.name for entry in fields(Keys)}
    values: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.removeprefix("keys.").partition("=")
        if not equals or name not in known:
            raise DataError(
                f"--keys has '{word}', expected NAME=VALUE with one of {', '.join(sorted(known))}"
            )
        values[name] = None if value == "null" else value
    if "targets" in values:
        values["targets"] = str(values["targets"]).split(",")
    if "allow_missing" in values:
        values["allow_missing"] = values["allow_missing"] == "true"
    return Keys(**values)


def add_output(parser: argparse.ArgumentParser, required: bool = True, what: str = "") -> None:
    """Add the file or folder to write, its format, and whether it may be replaced."""
    parser.add_argument(
        "-o",
        "--output",
        required=required,
        metavar="PATH",
        help=what
        or "file to write; a folder, with --to, gets one file data.0000 of the format in it",
    )
    parser.add_argument(
        "--to", choices=tuple(WRITERS), help="format to write; by default that of the name"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")


@dataclass(frozen=True)
class Destination:
    """A file that is to be written, and its format."""

    path: Path
    format: str

    @classmethod
    def of(cls, path: str | Path, format: str | None, force: bool) -> Destination:
        """Return the file that a path means, which may be a folder to write into.

        Raises:
            DataError: the format is not known, or not that of the name.
            FileError: the file exists and is not to be replaced, or the folder has other data.
        """
        path = Path(path).expanduser()
        named = _SUFFIXES.get(path.suffix.lower())
        if named is None:
            if format is None:
                raise DataError(
                    f"the name {path} shows no format, expected one of "
                    f"{', '.join(sorted(_SUFFIXES))}, or --to with a format"
                )
            path /= f"{_IN_FOLDER}.{format}"
            _check_folder(path)
        elif format not in (None, named):
            raise DataError(f"the name {path} shows {named}, expected that, not --to {format}")
        destination = cls(path, format or str(named))
        destination._check(force)
        return destination

    def write(self, configurations: Iterable[Configuration]) -> None:
        WRITERS[self.format](configurations, self.path)

    def _check(self, force: bool) -> None:
        if self.path.is_dir():
            raise FileError(f"{self.path} is a folder, expected a file to write")
        if self.path.exists() and not force:
            raise FileError(f"{self.path} exists, expected another name, or --force to replace it")


def _check_folder(file: Path) -> None:
    """Refuse a folder with other data: it would be read together with the new file."""
    folder = file.parent
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder} is a file, expected the name of a folder")
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in _SUFFIXES and path != file:
            raise FileError(f"{folder} contains {path.name}, expected a folder without other data")
