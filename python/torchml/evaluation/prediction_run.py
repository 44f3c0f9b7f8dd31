"""`predict_to_file`: predictions of a data set in a file; a run that was killed continues."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torchml.data.checks import structure_digest
from torchml.data.configuration import Configuration
from torchml.data.files import find_files
from torchml.data.keys import Keys
from torchml.data.notices import notify
from torchml.data.progress import track
from torchml.data.ranks import Ranks
from torchml.data.reading import Broken
from torchml.data.sequences import Joined
from torchml.errors import DataError, FileError
from torchml.evaluation.leaderboard import (
    Dtype,
    Task,
    Version,
    check_splits,
    leaderboard_id,
    write_leaderboard,
)
from torchml.evaluation.predicted_files import write_json, write_predicted_extxyz
from torchml.evaluation.predicting import (
    Batch,
    Data,
    Quantities,
    batches,
    configurations_of,
)
from torchml.evaluation.predictions import Predictions
from torchml.evaluation.work_folder import WorkFolder
from torchml.inference.potential import Potential

FileFormat = Literal["extxyz", "npz", "json"]
FORMATS: tuple[FileFormat, ...] = ("extxyz", "npz", "json")
_SUFFIXES: dict[str, FileFormat] = {
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".npz": "npz",
    ".json": "json",
}


def predict_to_file(
    model: Potential | str | Path,
    data: Data | Mapping[str, Data],
    output: str | Path,
    *,
    output_format: FileFormat | None = None,
    leaderboard: Version | None = None,
    task: Task = "s2ef",
    dtype: Dtype | None = None,
    stress: bool = False,
    particle_energies: bool = False,
    device: str = "cpu",
    batch_edges: int | None = None,
    workers: int | None = None,
    ranks: Ranks | None = None,
    keys: Keys | None = None,
    format: str | None = None,
    broken: Broken = "error",
) -> Predictions | None:
    """Write what a model predicts for a data set.

    Results are kept in the folder `OUTPUT.work` until all are there. The same call after a crash
    computes what is missing, also with another number of ranks, another device or batch size.

    Args:
        model: what `Potential` opens, or an opened one.
        data: files, folders or structures; for a leaderboard also several by the name of a split
            (see `write_leaderboard`).
        output: the file, which is replaced when all results are there.
        output_format: extxyz (`write_predicted_extxyz`), npz (`write_leaderboard`) or json
            (`write_json`); by default that of the file's name.
        leaderboard: year of the leaderboard, for npz: 2021, 2024 or 2026, which is the default.
        task: s2ef predicts energy and forces; is2re the energy alone, with a model that was trained
            for relaxed energies of initial structures.
        dtype: type of the numbers in npz: float16, float32 or float64; by default that of the
            leaderboard.
        stress: compute the stress, for extxyz.
        particle_energies: compute the energy of each atom, for extxyz.
        device: "cpu", "cuda" or "cuda:K"; not used for an opened model.
        batch_edges: pairs of neighbours in one call of the model, about; the default depends on the
            device.
        workers: threads that read ahead; by default 1 on a GPU, 0 on a CPU.
        ranks: rank of this process among those that share the work (`launched_rank`); alone by
            default. Each structure is computed by one rank; all must call this function with the
            same arguments and see the same folder.
        keys: names and units of labels in the files.
        format: of the data files; by default that of their names.
        broken: as `torchml.data.read` has it.

    Returns:
        The predictions in the order of the data, of all splits one after another; None on ranks
        other than 0, after rank 0 has written the file.

    Raises:
        DataError: a structure does not fit the model or has no id, or a prediction cannot be
            written; the sentence names the structure.
        FileError: the output cannot be written, or the results of an earlier run belong to another
            model, data set or other options.
    """
    ranks = ranks or Ranks()
    target = _Target.of(Path(output), output_format, leaderboard, task, dtype)
    splits: Mapping[str, Data] = data if isinstance(data, Mapping) else {"": data}
    if isinstance(data, Mapping):
        target.expect("npz", "several splits")
        check_splits(splits)
    if stress or particle_energies:
        target.expect("extxyz", "stress and energies of atoms")
    wanted = Quantities(task == "s2ef", stress, particle_energies)
    parts = {name: configurations_of(part, keys, format, broken) for name, part in splits.items()}
    configurations = Joined(list(parts.values()))
    potential = model if isinstance(model, Potential) else Potential(model, device)
    if particle_energies and potential.energy_kind == "total":
        notify(f"{potential.name} returns the total energy alone: no energies of atoms are written")
    run = {
        "model": potential.digest(),
        "data set": _data_digest(splits, parts, format),
        "choice of options": f"{wanted}; {keys or Keys()}; {format}; {broken}",
    }
    with WorkFolder(target.path, run, ranks) as work:
        done = work.begin(len(configurations))
        mine = [place for place in ranks.share(len(configurations)) if not done[place]]
        for batch in batches(potential, configurations, mine, wanted, batch_edges, workers):
            target.check_ids(batch)
            work.append(batch.places, Predictions.of(batch.results))
        if ranks.rank != 0:
            work.wait_for_end()
            return None
        work.wait_for_all(len(configurations))
        predictions = work.results()
        target.write(predictions, configurations, {name: len(part) for name, part in parts.items()})
        work.remove()
    return predictions


@dataclass(frozen=True)
class _Target:
    """The file to write: its path, format, and the options of the format."""

    path: Path
    format: FileFormat
    leaderboard: Version
    task: Task
    dtype: Dtype | None

    @classmethod
    def of(
        cls,
        path: Path,
        format: FileFormat | None,
        leaderboard: Version | None,
        task: Task,
        dtype: Dtype | None,
    ) -> _Target:
        found = format or _SUFFIXES.get(path.suffix.lower())
        if found is None:
            raise DataError(
                f"{path} shows no format, expected the ending {', '.join(_SUFFIXES)}, or a format"
            )
        if path.is_dir():
            raise FileError(f"{path} is a folder, expected the name of a file to write")
        target = cls(path, found, leaderboard or 2026, task, dtype)
        for value, what in ((leaderboard, "a leaderboard"), (dtype, "a dtype")):
            if value is not None:
                target.expect("npz", what)
        return target

    def expect(self, format: FileFormat, what: str) -> None:
        """Raise DataError if the file has not the format that something needs."""
        if self.format != format:
            raise DataError(f"{self.path} is {self.format}, expected {format} for {what}")

    def check_ids(self, batch: Batch) -> None:
        """Raise DataError at the first structure that a leaderboard cannot know."""
        if self.format == "npz":
            for c, _ in batch.results:
                leaderboard_id(c.sid, c.fid, c.name, self.leaderboard, self.task)

    def write(
        self,
        predictions: Predictions,
        configurations: Sequence[Configuration],
        splits: Mapping[str, int],
    ) -> None:
        """Write the predictions; `splits` has the number of structures by the name of the split."""
        if self.format == "extxyz":
            write_predicted_extxyz(configurations, predictions, self.path)
        elif self.format == "json":
            write_json(predictions, self.path, self.task)
        else:
            named = predictions if "" in splits else _split(predictions, splits)
            write_leaderboard(named, self.path, self.leaderboard, self.task, self.dtype)


def _split(predictions: Predictions, sizes: Mapping[str, int]) -> dict[str, Predictions]:
    parts = {}
    end = 0
    for name, size in sizes.items():
        begin, end = end, end + size
        parts[name] = predictions.take(range(begin, end))
    return parts


def _data_digest(
    splits: Mapping[str, Data], parts: Mapping[str, Sequence[Configuration]], format: str | None
) -> str:
    """A digest of data sets: of the size and the time of files, or of structures in memory."""
    digest = hashlib.sha256()
    for name, data in splits.items():
        digest.update(f"{name} {len(parts[name])}\n".encode())
        paths = _paths(data)
        if paths is None:
            for configuration in track(parts[name], "comparing structures", len(parts[name])):
                digest.update(structure_digest(configuration))
            continue
        for path in paths:
            for file, _ in find_files(path, format):
                state = (file / "data.mdb" if file.is_dir() else file).stat()
                digest.update(f"{file.name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _paths(data: Data) -> list[str | Path] | None:
    """The paths of data in files; None for structures in memory."""
    if isinstance(data, str | Path):
        return [data]
    return list(data) if isinstance(data[0], str | Path) else None  # type: ignore[arg-type]
