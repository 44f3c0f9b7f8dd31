"""`read`: the configurations of files in any format that the package reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torchml.data.configuration import Configuration
from torchml.data.files import find_files
from torchml.data.formats import dft_outputs
from torchml.data.formats.sizes import sizes_of
from torchml.data.keys import AUTO, Keys, unused_labels
from torchml.data.labels import check_named_keys
from torchml.data.notices import notify
from torchml.data.progress import track
from torchml.data.sequences import Joined, LazyConfigurations
from torchml.errors import DataError, FileError

Broken = Literal["error", "skip", "keep"]


@dataclass
class Contents:
    """A file that was read.

    Attributes:
        path: of the file.
        format: as `read` names it.
        configurations: of the file.
        names: of labels and columns, with what the reader knows of them (see `keys.roles`).
        notices: sentences for the user.
        smearing: of VASP, the largest difference of free energy and energy, eV per atom.
    """

    path: Path
    format: str
    configurations: Sequence[Configuration] = ()
    names: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    smearing: float | None = None


def read(
    paths: str | Path | Sequence[str | Path],
    keys: Keys | None = None,
    format: str | None = None,
    broken: Broken = "error",
) -> Sequence[Configuration]:
    """Read the configurations of files or folders, in their order.

    Args:
        paths: files or folders; a folder means all files of one format in it and in folders below,
            sorted by name; in folders of DFT runs, the vasprun.xml (else OUTCAR), aims.out or
            output of pw.x of each run. Any part of a name may contain the wildcards *, ?, [] and **
            (folders of any depth).
        keys: names and units of the labels; without it, the usual names, eV and Å.
        format: extxyz, ase-db, aselmdb, lmdb, hdf5, parquet, ase, or one of ASE's own names of
            formats; by default that of the name of the file; other names are read by ASE.
        broken: files that are damaged, and DFT runs that ended early, are an error; skip leaves
            them out, keep reads the complete steps of such runs. Both name them on stderr.

    Returns:
        A list; for LMDB, ASE databases and large HDF5 files a sequence that reads on demand.

    Raises:
        TorchMLError: with the file and the place in it, if something cannot be read.
    """
    contents = list(read_files(paths, keys or Keys(), format, broken))
    for sentence in notices(contents):
        notify(sentence)
    attach_sizes(contents)
    parts = [file.configurations for file in contents]
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, list) for part in parts):
        return [configuration for part in parts for configuration in part]
    return Joined(parts)


def attach_sizes(contents: Sequence[Contents]) -> None:
    """Tell sequences that are read on demand the sizes that metadata.npz of their folder lists."""
    folders: dict[Path, dict[Path, list[LazyConfigurations]]] = {}
    for file in contents:
        if file.format in ("lmdb", "aselmdb") and isinstance(
            file.configurations, LazyConfigurations
        ):
            files = folders.setdefault(file.path.parent, {})
            files.setdefault(file.path, []).append(file.configurations)
    for folder, files in folders.items():
        several = [files[path] for path in sorted(files)]  # the order of the list
        for parts, sizes in zip(several, sizes_of(folder, [p[0] for p in several]), strict=True):
            for part in parts:
                part.known_sizes = sizes


def notices(contents: Sequence[Contents]) -> list[str]:
    """Return the sentences for the user about files, each once."""
    sentences = [notice for file in contents for notice in file.notices]
    differences = [file.smearing for file in contents if file.smearing is not None]
    if differences:
        sentences.append(
            "the energies of VASP are E(sigma->0), but its forces belong to the free energy, which "
            f"differs by up to {1000 * max(differences):.3g} meV per atom: keys.energy: "
            "free_energy reads that"
        )
    return list(dict.fromkeys(sentences))


def read_files(
    paths: str | Path | Sequence[str | Path], keys: Keys, format: str | None, broken: Broken
) -> Iterator[Contents]:
    """Yield the contents of each file; the arguments are those of `read`."""
    if broken not in ("error", "skip", "keep"):
        raise DataError(f"data.broken is '{broken}', expected error, skip or keep")
    several = [paths] if isinstance(paths, str | Path) else list(paths)
    files = [file for path in several for file in find_files(path, format)]
    if not files:
        raise DataError("there are no files to read, expected at least one path")
    skipped: list[str] = []
    for path, kind in track(files, "reading files", len(files)) if len(files) > 1 else files:
        try:
            contents = _read_file(path, kind, keys, broken)
        except FileError as error:
            if broken == "error":
                raise
            notify(f"{error} (it is left out)")
            skipped.append(str(path))
            continue
        yield contents
    if len(skipped) == len(files):
        raise DataError(f"all files are left out, expected one that can be read: {skipped[0]}, ...")


def _read_file(path: Path, format: str, keys: Keys, broken: Broken) -> Contents:
    contents = Contents(path, format)
    if format in dft_outputs.FORMATS:
        _read_output(contents, keys, broken)
    else:
        contents.configurations = _reader(format)(path, keys, contents.names)
    where = f"{path}, configuration 0" if format == "lmdb" else str(path)
    check_named_keys(keys, contents.names, where)
    unused = unused_labels(contents.names, keys)
    if dft_outputs.is_vasp(format) and "free_energy" in unused:
        unused.remove("free_energy")  # the notice about VASP explains it
    if unused:
        quoted = ", ".join(f"'{name}'" for name in unused)
        contents.notices.append(
            f"{path}: {quoted} may be labels or weights, but are not used (see data.keys, and "
            "torchml data inspect)"
        )
    return contents


def _read_output(contents: Contents, keys: Keys, broken: Broken) -> None:
    """Read an output of a DFT code, and check that the run was complete."""
    from torchml.data.formats.ase_files import configurations_of, iterate_atoms

    path, format = contents.path, contents.format
    steps = dft_outputs.read_steps(path, format)
    structures = list(iterate_atoms(path, contents.names, steps))
    early = dft_outputs.check_end(path, format)
    complete = dft_outputs.complete_steps(structures, format, early is not None)
    if not complete:
        raise FileError(f"{path} holds no step with an energy, expected at least one")
    if early:
        if broken != "keep":
            raise FileError(
                f"{early}, expected a complete run; data.broken: skip leaves it out, keep reads "
                f"its {len(complete)} complete steps"
            )
        contents.notices.append(f"{early}: {len(complete)} complete steps are read")
    structures = complete if early else structures
    contents.configurations = configurations_of(structures, keys, path)
    if dft_outputs.is_vasp(format) and keys.energy == AUTO:
        contents.smearing = dft_outputs.smearing(structures)


def _reader(format: str) -> Any:
    """The function or class that reads a format from path, keys and names."""
    if format == "extxyz":
        from torchml.data.formats.extxyz import read_extxyz

        return read_extxyz
    if format == "lmdb":
        from torchml.data.formats.lmdb_rows import LmdbConfigurations

        return LmdbConfigurations
    if format == "aselmdb":
        from torchml.data.formats.aselmdb import AseLmdbConfigurations

        return AseLmdbConfigurations
    if format == "ase-db":
        from torchml.data.formats.ase_files import DatabaseConfigurations

        return DatabaseConfigurations
    if format == "hdf5":
        from torchml.data.formats.hdf5 import read_hdf5

        return read_hdf5
    if format == "parquet":
        from torchml.data.formats.parquet import read_parquet

        return read_parquet
    from torchml.data.formats.ase_files import read_ase

    return lambda path, keys, names: read_ase(
        path, keys, names, None if format == "ase" else format
    )
