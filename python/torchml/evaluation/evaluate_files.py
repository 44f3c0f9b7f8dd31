"""Predictions in files beside the labelled configurations of a data set.

Files of the Open Catalyst Project (`.npz` of leaderboards and of relaxed positions, `.json`), and
structures in any format that `torchml.data.read` reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.formats.npz import read_arrays
from torchml.data.keys import Keys
from torchml.data.reading import read, read_files
from torchml.data.sequences import Joined
from torchml.errors import DataError, FileError
from torchml.evaluation.evaluate_summary import Task
from torchml.evaluation.evaluating import Pair
from torchml.evaluation.metrics_positions import Relaxed
from torchml.inference.evaluation import Evaluation

_SHOWN = 3  # ids in an error


@dataclass(frozen=True)
class Row:
    """What a file predicts for one structure.

    Attributes:
        energy: eV.
        forces: [N or free atoms, 3], eV/Å.
        stress: [6], eV/Å³.
        positions: [N, 3], Å, of the relaxed structure.
        numbers: [N], atomic numbers, of files with structures.
    """

    energy: float | None = None
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    positions: NDArray[np.float64] | None = None
    numbers: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class PredictedFile:
    """The predictions of a file.

    Attributes:
        path: of the file.
        rows: one for each structure.
        ids: of the structures; None for files whose order is that of the data.
        is_in_order: whether the order may be that of the data, which the atoms of files with
            structures show.
        labelled: configurations with their own labels, where the file has them beside predictions.
    """

    path: Path
    rows: Sequence[Row]
    ids: list[str] | None = None
    is_in_order: bool = False
    labelled: Sequence[Configuration] | None = None

    @property
    def has_positions(self) -> bool:
        """Whether the file has relaxed positions, and nothing but energies beside them."""
        first = self.rows[0]
        return first.positions is not None and first.numbers is None


def is_predictions(path: str | Path) -> bool:
    """Whether a path is a file of predictions rather than a model."""
    return Path(path).suffix in (".npz", ".json", ".extxyz", ".xyz", ".traj", ".db", ".aselmdb")


def read_predictions(
    path: str | Path, split: str | None = None, keys: Keys | None = None
) -> PredictedFile:
    """Read a file of predictions.

    Args:
        path: `.npz` with ids, energy, forces and chunk_idx, or with ids, pos and chunk_idx; `.json`
            with energies, with mappings of energy and forces, or with pairs of id and positions; or
            structures with predicted_energy, predicted_forces and predicted_stress, or else with
            energy, forces and stress.
        split: prefix of the arrays of an `.npz` file with several splits, such as ood_ads.
        keys: names and units in files with structures.

    Raises:
        FileError: the file is missing, damaged, or holds no predictions.
    """
    path = Path(path)
    if path.suffix in (".npz", ".json") and not path.is_file():
        raise FileError(f"{path} does not exist, expected a file of predictions")
    if path.suffix == ".npz":
        predicted = _of_arrays(path, _arrays(path, split))
    elif path.suffix == ".json":
        predicted = _of_json(path)
    else:
        predicted = _of_structures(path, keys)
    if not predicted.rows:
        raise FileError(f"{path} holds no predictions, expected at least one structure")
    return predicted


def pair(
    predicted: PredictedFile,
    configurations: Sequence[Configuration],
    where: str,
    task: Task = "s2ef",
    places: Sequence[int] | None = None,
    free_atoms_only: bool = True,
) -> Iterator[Pair]:
    """Yield configurations with what a file predicts for them, for `evaluate`.

    Structures are found by their ids (`sid_fid`, else `sid`, else `source`; places where the data
    have no ids at all) if the file has ids; else the orders must agree.

    Args:
        predicted: the file.
        configurations: the labelled data set.
        where: the name of the data set in errors.
        task: as in `evaluate`.
        places: in the data set, of the configurations to yield; all by default.
        free_atoms_only: whether forces on fixed atoms may be missing.

    Raises:
        DataError: ids, or numbers of structures or of atoms do not match, or some predictions are
            missing.
    """
    rows = _rows_of(predicted, configurations, where)
    for place in range(len(configurations)) if places is None else places:
        configuration = configurations[place]
        row = predicted.rows[rows[place]]
        name = f"{predicted.path}, {_describe(predicted, rows[place])}"
        _check_numbers(row, configuration, name)
        _check_quantities(row, predicted.rows[0], configuration, name)
        if task == "is2rs":
            if row.positions is None:
                raise DataError(
                    f"{name} has no positions, expected relaxed ones for the task is2rs"
                )
            _check_count(name, "positions", len(row.positions), configuration, [len(configuration)])
            yield configuration, Relaxed(row.positions, row.energy)
        else:
            forces = _all_forces(row, configuration, name, free_atoms_only)
            yield configuration, Evaluation(energy=row.energy, forces=forces, stress=row.stress)


# --- Which row belongs to which configuration ----------------------------------------------------


def _rows_of(
    predicted: PredictedFile, configurations: Sequence[Configuration], where: str
) -> Sequence[int]:
    """The row of each configuration."""
    has_ids = predicted.ids is not None
    if predicted.is_in_order and not all(ids_of(configuration) for configuration in configurations):
        has_ids = False
    if not has_ids:
        if len(predicted.rows) != len(configurations):
            raise DataError(
                f"{predicted.path} has predictions for {len(predicted.rows)} structures, but "
                f"{where} has {len(configurations)}, expected equal numbers, or ids in both"
            )
        return range(len(configurations))
    assert predicted.ids is not None
    row_of_id = {id_: row for row, id_ in enumerate(predicted.ids)}
    ids = [ids_of(configuration) for configuration in configurations]
    if not any(ids):  # programs name structures without ids by their places
        ids = [[str(place)] for place in range(len(configurations))]
    found = [next((row_of_id[id_] for id_ in each if id_ in row_of_id), -1) for each in ids]
    _check_all_found(predicted, configurations, found, where)
    return found


def ids_of(configuration: Configuration) -> list[str]:
    """Return the ids under which files may have a configuration, the longest first."""
    sid, fid = configuration.sid, configuration.fid
    ids = [] if sid is None else [sid]
    if sid is not None and fid is not None:
        ids.insert(0, f"{sid}_{fid}")
    source = configuration.info.get("source")
    return ids if source is None else [*ids, str(source)]


def _check_all_found(
    predicted: PredictedFile,
    configurations: Sequence[Configuration],
    found: Sequence[int],
    where: str,
) -> None:
    missing = [k for k, row in enumerate(found) if row < 0]
    if missing:
        ids = [ids_of(configurations[k]) for k in missing[:_SHOWN]]
        if not any(ids):
            raise DataError(
                f"{predicted.path} has predictions by id, but configuration {missing[0]} of "
                f"{where} has no id, expected sid (and fid) in the data"
            )
        raise DataError(
            f"{predicted.path} has no prediction for {len(missing)} of {len(found)} "
            f"configurations of {where}: {_listed([''.join(i[:1]) for i in ids], len(missing))}, "
            "expected the same ids"
        )
    assert predicted.ids is not None
    used: dict[int, int] = {}
    for place, row in enumerate(found):
        if (first := used.setdefault(row, place)) != place:
            raise DataError(
                f"configurations {first} and {place} of {where} have the same id "
                f"{predicted.ids[row]}, expected one configuration for each prediction"
            )
    if unused := [id_ for row, id_ in enumerate(predicted.ids) if row not in used]:
        raise DataError(
            f"{predicted.path} has predictions for {len(unused)} structures that are not in "
            f"{where}: {_listed(unused, len(unused))}, expected the same ids"
        )


def _listed(ids: Sequence[str], number: int) -> str:
    return ", ".join(ids[:_SHOWN]) + (", ..." if number > _SHOWN else "")


def _describe(predicted: PredictedFile, row: int) -> str:
    return f"structure {row}" if predicted.ids is None else f"id {predicted.ids[row]}"


def _check_numbers(row: Row, configuration: Configuration, name: str) -> None:
    if row.numbers is not None and not np.array_equal(row.numbers, configuration.numbers):
        raise DataError(
            f"{name} has other atoms than {configuration.name}, expected the same elements in the "
            "same order"
        )


def _check_quantities(row: Row, first: Row, configuration: Configuration, name: str) -> None:
    """Raise DataError if a labelled quantity is predicted for this structure or the first alone."""
    for quantity in ("energy", "forces"):
        if getattr(configuration, quantity) is None:
            continue
        is_missing = getattr(row, quantity) is None
        if is_missing != (getattr(first, quantity) is None):
            where = "here, but not for the first structure"
            if not is_missing:
                where = "for the first structure, but not here"
            raise DataError(
                f"{name}: predictions of {quantity} are missing {where}, expected all or none"
            )


def _check_count(
    name: str, what: str, count: int, configuration: Configuration, expected: Sequence[int]
) -> None:
    if count not in expected:
        numbers = " or ".join(map(str, dict.fromkeys(expected)))
        raise DataError(
            f"{name} has {what} of {count} atoms, expected {numbers} as in {configuration.name}"
        )


def _all_forces(
    row: Row, configuration: Configuration, name: str, free_atoms_only: bool
) -> NDArray[np.float64] | None:
    """Forces of all atoms; those of fixed ones are NaN where the file lacks them."""
    if row.forces is None:
        return None
    atoms = len(configuration)
    free = np.ones(atoms, bool) if configuration.fixed is None else ~configuration.fixed
    numbers = [atoms, int(free.sum())] if free_atoms_only else [atoms]
    _check_count(name, "forces", len(row.forces), configuration, numbers)
    if len(row.forces) == atoms:
        return row.forces
    forces = np.full((atoms, 3), np.nan)
    forces[free] = row.forces
    return forces


# --- .npz ----------------------------------------------------------------------------------------


def _arrays(path: Path, split: str | None) -> dict[str, NDArray[Any]]:
    """The arrays of a split, by their names without prefix."""
    arrays = read_arrays(path)
    splits = [name.removesuffix("_ids") for name in arrays if name.endswith("_ids")]
    if split is not None and split not in splits:
        known = ", ".join(splits) or "no splits"
        raise FileError(f"{path} has no split '{split}', expected one of its own: {known}")
    if split is None and "ids" not in arrays:
        if len(splits) != 1:
            known = f"--split with one of {', '.join(splits)}" if splits else "an array ids"
            raise FileError(f"{path} holds {', '.join(arrays) or 'nothing'}, expected {known}")
        (split,) = splits
    prefix = "" if split is None else f"{split}_"
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


def _of_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> PredictedFile:
    ids = [str(id_) for id_ in arrays["ids"].tolist()]
    if "pos" not in arrays and "energy" not in arrays:
        raise FileError(f"{path} holds {', '.join(arrays)}, expected energy or pos beside ids")
    energies = arrays.get("energy")
    if energies is not None and energies.size != len(ids):
        raise FileError(f"{path} has {len(ids)} ids and {energies.size} energies, expected as many")
    if len(set(ids)) != len(ids):
        twice = next(id_ for id_ in ids if ids.count(id_) > 1)
        raise FileError(f"{path} has the id '{twice}' twice, expected each once")
    forces = _chunks(path, arrays, "forces", len(ids))
    positions = _chunks(path, arrays, "pos", len(ids))
    rows = [
        Row(
            None if energies is None else float(energies.ravel()[k]),
            None if forces is None else forces[k],
            positions=None if positions is None else positions[k],
        )
        for k in range(len(ids))
    ]
    return PredictedFile(path, rows, ids)


def _chunks(
    path: Path, arrays: Mapping[str, NDArray[Any]], name: str, number: int
) -> list[NDArray[np.float64]] | None:
    """Rows of atoms, one array for each structure."""
    if name not in arrays:
        return None
    if "chunk_idx" not in arrays:
        raise FileError(f"{path} has {name} without chunk_idx, expected where each structure ends")
    values = arrays[name].astype(np.float64)
    ends = arrays["chunk_idx"].ravel()
    is_valid = (
        ends.dtype.kind in "iu"
        and len(ends) == number - 1
        and values.ndim == 2
        and values.shape[1] == 3
        and (np.diff(ends, prepend=0, append=len(values)) >= 0).all()
    )
    if not is_valid:
        raise FileError(
            f"{path}: chunk_idx, with {len(ends)} entries, does not cut {name} of the shape "
            f"{list(values.shape)} into {number} structures, expected {number - 1} entries"
        )
    return np.split(values, ends)


# --- .json ---------------------------------------------------------------------------------------


def _of_json(path: Path) -> PredictedFile:
    """A list of energies, of mappings of energy and forces, or of pairs of id and positions."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise TypeError
        if entries and isinstance(entries[0], list):
            rows = [Row(positions=_matrix(positions)) for _, positions in entries]
            return PredictedFile(path, rows, [str(id_) for id_, _ in entries])
        return PredictedFile(path, [_json_row(entry) for entry in entries])
    except (ValueError, TypeError, KeyError, UnicodeDecodeError):
        raise FileError(
            f"{path} cannot be read, expected a list of energies, of mappings with energy and "
            "forces, or of pairs of an id and positions"
        ) from None


def _json_row(entry: Any) -> Row:
    if isinstance(entry, dict):
        forces = entry.get("forces")
        return Row(float(entry["energy"]), None if forces is None else _matrix(forces))
    return Row(float(entry))


def _matrix(rows: Any) -> NDArray[np.float64]:
    return np.asarray(rows, dtype=np.float64).reshape(-1, 3)


# --- Structures ----------------------------------------------------------------------------------


def _of_structures(path: Path, keys: Keys | None) -> PredictedFile:
    contents = list(read_files(path, keys or Keys(), None, "error"))
    labelled = Joined([file.configurations for file in contents])
    names = {name for file in contents for name in file.names}
    predicted = {q: f"predicted_{q}" for q in ("energy", "forces", "stress")}
    beside = {q: name for q, name in predicted.items() if name in names}
    configurations: Sequence[Configuration] = labelled
    if beside:
        absent: dict[str, Any] = dict.fromkeys(predicted)
        configurations = read(path, Keys(**(absent | beside), allow_missing=True))
    ids = [id_ for c in configurations for id_ in ids_of(c)[:1]]
    is_unique = len(set(ids)) == len(configurations)
    return PredictedFile(
        path,
        _StructureRows(configurations),
        ids if is_unique else None,
        is_in_order=True,
        labelled=labelled if beside else None,
    )


class _StructureRows(Sequence[Row]):
    """Rows of configurations, which may be read on demand."""

    def __init__(self, configurations: Sequence[Configuration]) -> None:
        self._configurations = configurations

    def __len__(self) -> int:
        return len(self._configurations)

    def __getitem__(self, place: Any) -> Any:
        c = self._configurations[place]
        return Row(c.energy, c.forces, c.stress, c.positions, c.numbers)
