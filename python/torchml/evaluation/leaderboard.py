"""The files with predictions that the leaderboards of the Open Catalyst Project accept.

Contents follow the code of OCP of early 2021 and of July 2024, which wrote files for EvalAI, and
the page of fairchem's leaderboard of 2026, facebookresearch.github.io/fairchem.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from torchml.data.notices import notify
from torchml.data.output import written_then_renamed
from torchml.errors import DataError
from torchml.evaluation.predictions import Predictions

Version = Literal[2021, 2024, 2026]
Task = Literal["s2ef", "is2re"]
Dtype = Literal["float16", "float32", "float64"]
VERSIONS: tuple[Version, ...] = (2021, 2024, 2026)
TASKS: tuple[Task, ...] = ("s2ef", "is2re")
DTYPES: tuple[Dtype, ...] = ("float16", "float32", "float64")
OC20 = ("id", "ood_ads", "ood_cat", "ood_both")
OC22 = ("id", "ood")

# Two predictions of one id are the same up to this: eV and eV/Å, and relative.
_SAME, _SAME_RELATIVE = 1e-4, 1e-6


def write_leaderboard(
    predictions: Predictions | Mapping[str, Predictions],
    path: str | Path,
    version: Version = 2026,
    task: Task = "s2ef",
    dtype: Dtype | None = None,
) -> None:
    """Write the `.npz` file of a leaderboard.

    * 2021: ids are `sid_fid` (s2ef) or `sid` (is2re), sorted as texts. Energies are float64, in
      s2ef rounded to float16; forces are those of free atoms, float16.
    * 2024: ids as in 2021. Energies and forces of free atoms are float16, for OC22 float32.
    * 2026: ids are `sid`, in the order of the data. Energies and forces of all atoms are float64.

    `chunk_idx`, of s2ef, is the cumulative number of these atoms without the last: it splits the
    forces. Ids that occur twice are written once.

    Args:
        predictions: of one data set; or of several by the name of their split (OC20: id, ood_ads,
            ood_cat, ood_both; OC22: id, ood), which becomes the prefix of all names.
        path: of the file, which is replaced.
        version: year of the leaderboard.
        task: s2ef writes energies and forces, is2re energies.
        dtype: type to which energies and forces are rounded, instead of the usual one above.

    Raises:
        DataError: an id or the forces are missing, an id has two different predictions, a value is
            not finite or too large for the type, or a split is unknown.
    """
    arrays: dict[str, Any]
    if isinstance(predictions, Predictions):
        arrays = leaderboard_arrays(predictions, version, task, dtype)
    else:
        check_splits(predictions, notify_missing=True)
        if dtype is None and version == 2024 and "ood" in predictions:
            dtype = "float32"  # total energies of OC22, beyond the digits of float16
        arrays = {
            f"{split}_{name}": values
            for split, part in predictions.items()
            for name, values in leaderboard_arrays(part, version, task, dtype).items()
        }
    with written_then_renamed(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def check_splits(names: Collection[str], notify_missing: bool = False) -> None:
    """Raise DataError unless all names are splits of OC20, or all are splits of OC22.

    Args:
        names: of splits.
        notify_missing: name the splits that a submission lacks on stderr.
    """
    known = OC22 if "ood" in names else OC20
    if unknown := [name for name in names if name not in known]:
        raise DataError(
            f"the split '{unknown[0]}' is unknown, expected {', '.join(OC20)} of OC20, or "
            f"{', '.join(OC22)} of OC22"
        )
    missing = [name for name in known if name not in names]
    if missing and notify_missing:
        notify(f"a submission has the splits {', '.join(known)}; {', '.join(missing)} is missing")


def leaderboard_id(sid: str | None, fid: str | None, name: str, version: int, task: str) -> str:
    """Return the id of a structure on a leaderboard.

    Raises:
        DataError: the structure, which `name` names, has no id.
    """
    if sid is None:
        raise DataError(f"{name} has no id, expected a sid, by which leaderboards know a structure")
    return sid if fid is None or task == "is2re" or version == 2026 else f"{sid}_{fid}"


def leaderboard_arrays(
    predictions: Predictions, version: Version, task: Task, dtype: Dtype | None = None
) -> dict[str, NDArray[Any]]:
    """Return the arrays of one split by their names; see `write_leaderboard`."""
    if version not in VERSIONS:
        raise DataError(f"the leaderboard of {version} is unknown, expected one of {VERSIONS}")
    if task not in TASKS:
        raise DataError(f"the task '{task}' is unknown, expected s2ef or is2re")
    if task == "s2ef" and predictions.forces is None:
        raise DataError("the predictions hold no forces, expected them for the task s2ef")
    ids = [
        leaderboard_id(sid, fid, name, version, task)
        for sid, fid, name in zip(
            predictions.sids, predictions.fids, predictions.names, strict=True
        )
    ]
    chosen = _once(ids, predictions, task)
    if version != 2026:
        chosen = sorted(chosen, key=ids.__getitem__)
    part = predictions.take(chosen)
    usual: Dtype = "float64" if version == 2026 else "float16"
    kept = version == 2021
    arrays: dict[str, NDArray[Any]] = {"ids": np.array([ids[k] for k in chosen])}
    if kept and task == "is2re":
        usual = "float64"
    rounded = _rounded(part, part.energies, dtype or usual, "energy")
    arrays["energy"] = rounded.astype(np.float64) if kept else rounded
    if task == "s2ef":
        forces = _rounded(part, part.forces, dtype or usual, "forces")
        free = np.ones_like(part.fixed) if version == 2026 else ~part.fixed
        begins = np.cumsum(part.counts) - part.counts
        arrays["forces"] = forces[free]
        arrays["chunk_idx"] = np.cumsum(np.add.reduceat(free, begins, dtype=np.int64))[:-1]
    return arrays


def _once(ids: list[str], predictions: Predictions, task: Task) -> list[int]:
    """Places of the structures, without those whose id occurred before."""
    first: dict[str, int] = {}
    forces = predictions.forces if task == "s2ef" else None
    split = None if forces is None or len(set(ids)) == len(ids) else predictions.of_atoms(forces)
    for place, id in enumerate(ids):
        other = first.setdefault(id, place)
        same = other == place or (
            _equal(predictions.energies[place], predictions.energies[other])
            and (split is None or _equal(split[place], split[other]))
        )
        if not same:
            frames = task == "s2ef" and predictions.fids[place] != predictions.fids[other]
            hint = ", as the leaderboards of 2021 and 2024 join from sid and fid" if frames else ""
            raise DataError(
                f"{predictions.names[place]} and {predictions.names[other]} have the id '{id}' and "
                f"different predictions, expected one for each{hint}"
            )
    return list(first.values())


def _equal(first: Any, second: Any) -> bool:
    return np.shape(first) == np.shape(second) and bool(
        np.allclose(first, second, rtol=_SAME_RELATIVE, atol=_SAME)
    )


def _rounded(part: Predictions, values: Any, dtype: str, what: str) -> NDArray[Any]:
    """The values in another type, of which each must be finite."""
    with np.errstate(over="ignore"):
        rounded: NDArray[Any] = np.asarray(values).astype(dtype)
    wrong = ~np.isfinite(rounded)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        ends = np.cumsum(part.counts) if what == "forces" else np.arange(1, len(part) + 1)
        name = part.names[int(np.searchsorted(ends, row, side="right"))]
        value = np.asarray(values)[wrong][0]
        raise DataError(
            f"{name}: the predicted {what} contain {value:.6g}, expected finite values within the "
            f"range of {dtype}"
        )
    return rounded
