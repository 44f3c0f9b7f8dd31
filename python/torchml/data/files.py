"""The files that paths, wildcards and folders mean, and their formats."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from torchml.data.formats import dft_outputs
from torchml.errors import FileError

SUFFIXES = {
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".db": "ase-db",
    ".aselmdb": "aselmdb",
    ".lmdb": "lmdb",
    ".mdb": "lmdb",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".parquet": "parquet",
    ".traj": "ase",
}
_OUTPUT = "outputs of DFT codes"


def find_files(path: str | Path, format: str | None) -> list[tuple[Path, str]]:
    """Return the files that a path means, with their formats.

    Args:
        path: file, folder, or a name with the wildcards *, ?, [] and ** (folders of any depth).
        format: of all files; by default that of the name of each.

    Raises:
        FileError: there is no such file, or a folder contains files of different formats.
    """
    path = Path(path).expanduser()
    if not path.exists():
        return _matching(path, format)
    if path.is_file():
        return [(path, _named(format, path) or format_of(path) or "ase")]
    if (path / "data.mdb").is_file():  # the folder is itself an LMDB environment
        return [(path, "lmdb")]
    return _in_folder(path, format)


def _matching(path: Path, format: str | None) -> list[tuple[Path, str]]:
    """The files that wildcards mean; of a last part * or **, those of known formats."""
    matches = []
    if re.search(r"[*?[]", str(path)):
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
    if path.name in ("*", "**"):
        matches = [match for match in matches if match.is_dir() or format or format_of(match)]
    if path.name == "**":  # the files in the folders are matches too
        matches = [match for match in matches if match.is_file()]
    if not matches:
        raise FileError(f"{path} does not exist, expected a file or a folder")
    files = [file for match in matches for file in find_files(match, format)]
    wanted = set(dft_outputs.one_for_each_run([file for file, _ in files]))
    return list(dict.fromkeys(entry for entry in files if entry[0] in wanted))


def _in_folder(folder: Path, format: str | None) -> list[tuple[Path, str]]:
    inside = sorted(file for file in _inside(folder) if not _hidden(file, folder))
    if format in dft_outputs.FORMATS:  # what else is in the folder of a run has other formats
        known = {file: format for file in inside if dft_outputs.output_format(file) == format}
    elif format:
        known = {file: _named(format, file) or format for file in inside}
    else:
        known = {file: found for file in inside if (found := format_of(file))}
    kinds = {_OUTPUT if found in dft_outputs.FORMATS else found for found in known.values()}
    if len(kinds) > 1:
        raise FileError(
            f"{folder} holds files of the formats {', '.join(sorted(kinds))}, expected one: name "
            "the files, or a format"
        )
    if not known:
        raise FileError(
            f"{folder} holds no files to read, expected endings {', '.join(SUFFIXES)}, or outputs "
            "of VASP, FHI-aims or Quantum ESPRESSO"
        )
    return [(file, known[file]) for file in dft_outputs.one_for_each_run(list(known))]


def format_of(file: Path) -> str | None:
    """Return the format that the name of a file shows; extended XYZ may be compressed."""
    ending = file.suffix.lower()
    if ending in (".gz", ".bz2", ".xz") and SUFFIXES.get(Path(file.stem).suffix) == "extxyz":
        return "extxyz"
    return SUFFIXES.get(ending) or dft_outputs.output_format(file)


def _named(format: str | None, file: Path) -> str | None:
    """The format that is asked for; ase-db means the LMDB files of ASE too."""
    if format == "ase-db" and file.suffix.lower() == ".aselmdb":
        return "aselmdb"
    return format


def _inside(folder: Path) -> list[Path]:
    """All files in a folder and below it; links are followed."""
    walk = os.walk(folder, followlinks=True)
    return [Path(root, name) for root, _, names in walk for name in names]


def _hidden(file: Path, folder: Path) -> bool:
    """Hidden files, and what belongs to the files of a data set: sizes, locks of LMDB."""
    if file.name == "metadata.npz" or file.name.endswith("-lock"):
        return True
    return any(part.startswith(".") for part in file.relative_to(folder).parts)
