"""Files that ASE reads: trajectories, outputs of codes, and its databases."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ase import Atoms

from torchml.data.atoms import from_atoms, labels_of, lift_user_values
from torchml.data.configuration import Configuration
from torchml.data.keys import Keys, collect
from torchml.data.progress import Progress
from torchml.data.sequences import LazyConfigurations
from torchml.errors import DataError, FileError


def read_ase(
    path: Path, keys: Keys, names: dict[str, str], format: str | None = None
) -> list[Configuration]:
    """Read all structures of a file; format is ASE's name of it, None lets ASE detect it.

    The names of labels and columns are added to `names`.
    """
    return configurations_of(iterate_atoms(path, names, format), keys, path)


def configurations_of(structures: Iterable[Atoms], keys: Keys, path: Path) -> list[Configuration]:
    """Return the configurations of the structures of a file."""
    return [from_atoms(atoms, keys, str(path), k) for k, atoms in enumerate(structures)]


def iterate_atoms(path: Path, names: dict[str, str], format: str | None = None) -> Iterator[Atoms]:
    """Yield ASE's Atoms of all structures of a file."""
    import ase.io

    count = 0
    with Progress(f"reading {path.name}", total=None) as bar:
        images = None
        while True:
            try:
                images = images or iter(ase.io.iread(path, index=":", format=format))
                atoms = next(images, None)
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
        raise FileError(f"{path} is empty, expected structures that ASE reads")


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
