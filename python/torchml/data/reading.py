"""`read`: the configurations of files in any format that the package reads."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from torchml.data.configuration import Configuration
from torchml.data.keys import Keys
from torchml.data.progress import track
from torchml.errors import DataError, FileError

SUFFIXES = {
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".db": "ase-db",
    ".aselmdb": "ase-db",
    ".lmdb": "lmdb",
    ".mdb": "lmdb",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".parquet": "parquet",
    ".traj": "ase",
}


def read(
    paths: str | Path | Sequence[str | Path], keys: Keys | None = None, format: str | None = None
) -> Sequence[Configuration]:
    """Read the configurations of files or folders, in their order.

    Args:
        paths: files or folders; a folder means all files of one format in it and in folders below,
            sorted by name. Names may contain the wildcards *, ? and [].
        keys: names and units of the labels; without it, the usual names, eV and Å.
        format: extxyz, ase-db, lmdb, hdf5, parquet, ase, or one of ASE's own names of formats; by
            default that of the ending of the file; other endings are read by ASE.

    Returns:
        A list; for LMDB, ASE databases and large HDF5 files a sequence that reads on demand.

    Raises:
        TorchMLError: with the file and the place in it, if something cannot be read.
    """
    from torchml.data.sequences import Joined

    keys = keys or Keys()
    several = [paths] if isinstance(paths, str | Path) else list(paths)
    files = [file for path in several for file in _files(path, format)]
    if not files:
        raise DataError("there are no files to read, expected at least one path")
    if len(files) == 1:
        return _read_file(*files[0], keys)
    parts = [_read_file(*file, keys) for file in track(files, "reading files", len(files))]
    if all(isinstance(part, list) for part in parts):
        return [configuration for part in parts for configuration in part]
    return Joined(parts)


def _read_file(path: Path, format: str, keys: Keys) -> Sequence[Configuration]:
    if format == "extxyz":
        from torchml.data.formats.extxyz import read_extxyz

        return read_extxyz(path, keys)
    if format == "lmdb":
        from torchml.data.formats.lmdb_rows import LmdbConfigurations

        return LmdbConfigurations(path, keys)
    if format == "ase-db":
        from torchml.data.formats.ase_files import DatabaseConfigurations

        return DatabaseConfigurations(path, keys)
    if format == "hdf5":
        from torchml.data.formats.hdf5 import read_hdf5

        return read_hdf5(path, keys)
    if format == "parquet":
        from torchml.data.formats.parquet import read_parquet

        return read_parquet(path, keys)
    from torchml.data.formats.ase_files import read_ase

    return read_ase(path, keys, None if format == "ase" else format)


def _files(path: str | Path, format: str | None) -> list[tuple[Path, str]]:
    """The files that a path means, with their formats."""
    path = Path(path).expanduser()
    if not path.exists():
        if re.search(r"[*?[]", path.name):
            matches = sorted(path.parent.glob(path.name))
            if matches:
                return [file for match in matches for file in _files(match, format)]
        raise FileError(f"{path} does not exist, expected a file or a folder")
    if path.is_file():
        return [(path, format or _format(path) or "ase")]
    if (path / "data.mdb").is_file():  # the folder is itself an LMDB environment
        return [(path, "lmdb")]
    inside = [file for file in _inside(path) if not _hidden(file, path)]
    known = [file for file in inside if format or _format(file)]
    formats = {format or _format(file) or "" for file in known}
    if len(formats) > 1:
        raise FileError(
            f"{path} holds files of the formats {', '.join(sorted(formats))}, expected one: name "
            "the files, or a format"
        )
    if not known:
        raise FileError(f"{path} holds no files to read, expected endings {', '.join(SUFFIXES)}")
    return [(file, formats.copy().pop()) for file in sorted(known)]


def _format(file: Path) -> str | None:
    """The format that the ending of a file names; extended XYZ may be compressed."""
    ending = file.suffix.lower()
    if ending in (".gz", ".bz2", ".xz") and SUFFIXES.get(Path(file.stem).suffix) == "extxyz":
        return "extxyz"
    return SUFFIXES.get(ending)


def _inside(folder: Path) -> list[Path]:
    """All files in a folder and below it; links are followed."""
    walk = os.walk(folder, followlinks=True)
    return [Path(root, name) for root, _, names in walk for name in names]


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)
