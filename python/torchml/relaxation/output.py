"""The folder of a relaxation: what is there already, what is added, and the joined files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from ase import Atoms

from torchml.data.output import written_then_renamed
from torchml.data.writing import write_extxyz
from torchml.errors import DataError, FileError
from torchml.relaxation.evaluators import Evaluator
from torchml.relaxation.journal import (
    Journal,
    digest,
    joined,
    journal_path,
    read_journals,
    restored,
)
from torchml.relaxation.options import RelaxOptions
from torchml.relaxation.positions import write_positions_json, write_positions_npz
from torchml.relaxation.results import Relaxed
from torchml.relaxation.trajectories import (
    configuration,
    remove_leftovers,
    write_structure,
    write_trajectory,
)

_TRAJECTORIES, _STRUCTURES = "trajectories", "extxyz"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Files:
    """What is written beside the positions.

    Attributes:
        trajectories: steps from one frame to the next of `trajectories/ID.traj`; 0 writes none.
        extxyz: one file `relaxed.extxyz`, each structure in `extxyz/ID.extxyz`, both, or none.
    """

    trajectories: int = 0
    extxyz: Literal["one", "each", "both", "none"] = "one"

    def __post_init__(self) -> None:
        if self.trajectories < 0:
            raise DataError(
                f"a frame every {self.trajectories} steps was requested, expected 0 or more"
            )
        if self.extxyz not in ("one", "each", "both", "none"):
            raise DataError(f"extxyz is '{self.extxyz}', expected one, each, both or none")


class Output:
    """`with Output(...) as output`: the folder of a relaxation, seen from one rank.

    Args:
        folder: made if it does not exist; results of the same relaxation in it are kept.
        files: what is written.
        settings: what all results depend on, as plain values.
        rank: number of this process.
        ids: of the structures that this rank relaxes.

    Raises:
        DataError: the folder belongs to a relaxation with other settings.
        FileError: the folder contains a damaged file.
    """

    def __init__(
        self,
        folder: Path,
        files: Files,
        settings: Mapping[str, Any],
        rank: int,
        ids: Sequence[str],
    ) -> None:
        self._folder, self._files, self._rank = folder, files, rank
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise FileError(f"{error.filename} is a file, expected a folder for results") from None
        _check_settings(folder / "settings.json", settings)
        records = joined(read_journals(folder))
        self.finished: dict[str, Record] = {
            id: record for id, record in records.items() if record["state"] != "failed"
        }
        self._journal = Journal(journal_path(folder, rank))  # from here on, no other process writes
        for name in (_TRAJECTORIES, _STRUCTURES):
            remove_leftovers(folder / name, ids)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._journal.close()

    def add(self, relaxed: Relaxed, structure: Atoms) -> None:
        """Write a result; the line in the journal comes last, so that it is never half there.

        Args:
            relaxed: the result.
            structure: the structure at the start.
        """
        if relaxed.state != "failed":
            if self._files.trajectories:
                write_trajectory(relaxed, self._folder / _TRAJECTORIES)
            if self._files.extxyz in ("each", "both"):
                write_structure(relaxed, self._folder / _STRUCTURES)
        self._journal.add(relaxed, digest(structure))

    def join(self, ids: Sequence[str], structure: Callable[[int], Atoms]) -> list[Record]:
        """Write the positions of this rank; if all structures have a result, the files of all.

        The rank that ends last does the latter; if two end together, both write the same.

        Args:
            ids: of all structures.
            structure: the structure at the start, by its index.

        Returns:
            The records that are there, in the order of the structures.
        """
        journals = read_journals(self._folder)
        records = joined(journals)
        complete = records.keys() >= set(ids)
        for rank, part in journals.items():
            if complete or rank == self._rank:
                self._write_rank(rank, part.values())
        if complete:
            good = [k for k, id in enumerate(ids) if records[id]["state"] != "failed"]
            write_positions_npz(
                [records[ids[k]] for k in good], self._folder / "relaxed_positions.npz"
            )
            if self._files.extxyz in ("one", "both"):
                write_extxyz(
                    (configuration(restored(records[ids[k]], structure(k))) for k in good),
                    self._folder / "relaxed.extxyz",
                )
        return [records[id] for id in ids if id in records]

    def _write_rank(self, rank: int, records: Iterable[Record]) -> None:
        good = [record for record in records if record["state"] != "failed"]
        write_positions_json(good, self._folder / f"relaxed_pos_{rank}.json")


def settings_of(evaluator: Evaluator, options: RelaxOptions) -> dict[str, Any]:
    """Return what results depend on besides the structures, as JSON keeps it.

    Args:
        evaluator: of the model; of files and folders, the content counts.
        options: of the relaxation.
    """
    content = evaluator.digest()
    settings = {"model": evaluator.name, "model_sha256": content, **asdict(options)}
    return dict(json.loads(json.dumps(settings)))


def _check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings; if they are there, compare them."""
    if not path.exists():
        with written_then_renamed(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=1) + "\n")
        return
    try:
        before = json.loads(path.read_text())
        different = [key for key in settings if before.get(key) != settings[key]]
    except (ValueError, AttributeError):
        raise FileError(
            f"{path} is damaged, expected the settings of torchml relax as JSON"
        ) from None
    if different == ["model"] and settings["model_sha256"]:
        return  # the same file under another name
    if different:
        key = different[0]
        if key == "model_sha256":
            raise DataError(
                f"{path.parent} contains results of {settings['model']} with other contents, "
                "expected the same model, or another folder"
            )
        raise DataError(
            f"{path.parent} contains results with {key} {before.get(key)}, but {key} is "
            f"{settings[key]} now, expected the same settings, or another folder"
        )
