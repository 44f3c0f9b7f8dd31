"""Files that ASE reads: trajectories, outputs of codes, and its databases."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ase import Atoms

from torchml.data.atoms import from_atoms, labels_of, lift_user_values
from torchml.data.configuration import Configuration
from torchml.data.keys import Keys, collect
from torchml.data.progress import Progress
from torchml.data.sequences import LazyConfigurations
from torchml.errors import DataError, FileError, TorchMLError


def read_ase(
    path: Path, keys: Keys, names: dict[str, str], format: str | None = None
) -> list[Configuration]:
    """Read all structures of a file; format is ASE's name of it, None lets ASE detect it.

    The names of labels and columns are added to `names`.
    """
    return configurations_of(iterate_atoms(path, names, read_images(path, format)), keys, path)


def read_images(path: Path, format: str | None = None) -> Iterator[Atoms]:
    """Yield ASE's Atoms of all structures of a file."""
    import ase.io

    yield from ase.io.iread(path, index=":", format=format)


def configurations_of(structures: Iterable[Atoms], keys: Keys, path: Path) -> list[Configuration]:
    """Return the configurations of the structures of a file."""
    return [from_atoms(atoms, keys, str(path), k) for k, atoms in enumerate(structures)]


def iterate_atoms(path: Path, names: dict[str, str], images: Iterator[Atoms]) -> Iterator[Atoms]:
    """Yield the structures of a file with errors that name it, and collect the names of labels."""
    count = 0
    with Progress(f"reading {path.name}", total=None) as bar:
        while True:
            try:
                atoms = _next_quietly(images)
            except TorchMLError:
                raise
            # ASE's readers raise whatever their parsing runs into.
            except Exception as error:
                raise FileError(
                    f"{path} cannot be read by ASE after {count} configurations: "
                    f"{type(error).__name__}: {error}"
                ) from None
            if atoms is None:
                break
            collect(names, *labels_of(atoms))
            yield atoms
            count += 1
            bar.advance()
    if not count:
        what = "holds no structure" if path.stat().st_size else "is empty"
        raise FileError(f"{path} {what}, expected structures that ASE reads")


def _next_quietly(images: Iterator[Atoms]) -> Atoms | None:
    """The next structure, without ASE's advice on its plugins."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "FHI-aims IO is moving", FutureWarning)
        return next(images, None)


class DatabaseConfigurations(LazyConfigurations):
    """The rows of an ASE database, each read on demand."""

    def __init__(self, path: Path, keys: Keys, names: dict[str, str]) -> None:
        self.path = path
        self.keys = keys
        self._process = -1
        try:
            database = self._database()
            self._ids = [row.id for row in database.select(columns=["id"], include_data=False)]
        # sqlite3 and the other backends each have exceptions of their own.
        except Exception as error:
            raise FileError(
                f"{path} cannot be read as a database of ASE: {type(error).__name__}: {error}"
            ) from None
        if not self._ids:
            raise DataError(f"{path} is empty, expected rows in a database of ASE")
        collect(names, *labels_of(self._atoms(0)))

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, index: int) -> Configuration:
        return from_atoms(self._atoms(index), self.keys, str(self.path), index)

    def _atoms(self, index: int) -> Any:
        try:
            atoms = self._database().get_atoms(self._ids[index], add_additional_information=True)
        except Exception as error:
            raise FileError(
                f"{self.path}, configuration {index} cannot be read: "
                f"{type(error).__name__}: {error}"
            ) from None
        lift_user_values(atoms)
        return atoms

    def _database(self) -> Any:
        """A connection of this process; processes must not share one."""
        import ase.db

        if self._process != os.getpid():
            self._connection = ase.db.connect(self.path)
            self._process = os.getpid()
        return self._connection

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": -1, "_connection": None}
