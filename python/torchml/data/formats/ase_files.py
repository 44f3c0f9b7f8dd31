"""Files that ASE reads: trajectories, outputs of codes, and its databases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torchml.data.atoms import from_atoms
from torchml.data.configuration import Configuration
from torchml.data.keys import Keys
from torchml.data.labels import check_named_keys
from torchml.data.progress import Progress
from torchml.data.sequences import LazyConfigurations
from torchml.errors import DataError, FileError


def read_ase(path: Path, keys: Keys, format: str | None = None) -> list[Configuration]:
    """Read all structures of a file; format is ASE's name of it, None lets ASE detect it."""
    import ase.io

    configurations: list[Configuration] = []
    names: dict[str, Any] = {}
    with Progress(f"reading {path.name}", total=None) as bar:
        images = ase.io.iread(path, index=":", format=format)
        while True:
            try:
                atoms = next(images, None)
            # ASE's readers raise whatever their parsing runs into.
            except Exception as error:
                raise FileError(
                    f"{path} cannot be read by ASE after {len(configurations)} configurations: "
                    f"{type(error).__name__}: {error}"
                ) from None
            if atoms is None:
                break
            configurations.append(from_atoms(atoms, keys, str(path), len(configurations)))
            names |= dict.fromkeys([*atoms.info, *atoms.arrays])
            names |= dict.fromkeys(atoms.calc.results if atoms.calc is not None else ())
            bar.advance()
    if not configurations:
        raise DataError(f"{path} is empty, expected structures that ASE reads")
    check_named_keys(keys, names, str(path))
    return configurations


class DatabaseConfigurations(LazyConfigurations):
    """The rows of an ASE database, each read on demand."""

    def __init__(self, path: Path, keys: Keys) -> None:
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
        check_named_keys(keys, self._labels(0), str(path))

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
        # ASE keeps the user's own values one level down.
        for inner in ("key_value_pairs", "data"):
            atoms.info |= atoms.info.pop(inner, {})
        return atoms

    def _labels(self, index: int) -> dict[str, Any]:
        atoms = self._atoms(index)
        results = atoms.calc.results if atoms.calc is not None else {}
        return {**atoms.info, **atoms.arrays, **results}

    def _database(self) -> Any:
        """A connection of this process; processes must not share one."""
        import ase.db

        if self._process != os.getpid():
            self._connection = ase.db.connect(self.path)
            self._process = os.getpid()
        return self._connection

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": -1, "_connection": None}
