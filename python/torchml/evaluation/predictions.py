"""`Predictions`: what a model returns for the structures of a data set."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchml.data.configuration import Configuration
from torchml.inference.evaluation import Evaluation

_TEXTS = ("names", "sids", "fids")
_OF_ATOMS = ("fixed", "forces", "particle_energies")
_NO_STRESS = np.full(6, np.nan)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Results for n structures, in the order of the data; A is the number of all their atoms.

    Arrays of atoms contain the atoms of the first structure, then those of the second, and so on.

    Attributes:
        names: n names for errors: the file, and the place in it.
        sids: n ids of systems, as in OCP's data; None where a structure has none.
        fids: n ids of the frames of a system; None where there are none.
        counts: [n], int64, atoms of each structure.
        fixed: [A], bool, atoms that do not move; all are free where the data do not say.
        energies: [n], eV.
        forces: [A, 3], eV/Å; None if not requested.
        stress: [n, 6], eV/Å³, xx yy zz yz xz xy; NaN for structures without a volume, None if no
            structure has one or if not requested.
        particle_energies: [A], eV; None if not requested, or if the model returns totals.
    """

    names: list[str]
    sids: list[str | None]
    fids: list[str | None]
    counts: NDArray[np.int64]
    fixed: NDArray[np.bool_]
    energies: NDArray[np.float64]
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    particle_energies: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, results: Iterable[tuple[Configuration, Evaluation]]) -> Self:
        """Collect the pairs that `predict` yields, of one structure at least."""
        configurations, evaluations = zip(*results, strict=True)
        first: Evaluation = evaluations[0]
        stress = [_NO_STRESS if e.stress is None else e.stress for e in evaluations]
        return cls(
            names=[c.name for c in configurations],
            sids=[c.sid for c in configurations],
            fids=[c.fid for c in configurations],
            counts=np.array([len(c) for c in configurations], dtype=np.int64),
            fixed=np.concatenate(
                [np.zeros(len(c), bool) if c.fixed is None else c.fixed for c in configurations]
            ),
            energies=np.array([e.energy for e in evaluations], dtype=np.float64),
            forces=None
            if first.forces is None
            else np.concatenate([e.forces for e in evaluations]),
            stress=None if all(e.stress is None for e in evaluations) else np.array(stress),
            particle_energies=None
            if first.particle_energies is None
            else np.concatenate([e.particle_energies for e in evaluations]),
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the structures of several predictions of the same quantities, one after another.

        Args:
            parts: one or more.
        """
        values: dict[str, Any] = {}
        for name in (field.name for field in fields(cls)):
            entries = [getattr(part, name) for part in parts]
            if name in _TEXTS:
                values[name] = [text for entry in entries for text in entry]
                continue
            if name == "stress" and any(entry is not None for entry in entries):
                entries = [
                    np.tile(_NO_STRESS, (len(part), 1)) if part.stress is None else part.stress
                    for part in parts
                ]
            values[name] = None if entries[0] is None else np.concatenate(entries)
        return cls(**values)

    def take(self, places: ArrayLike) -> Self:
        """Return the structures at some places, in the order of the places.

        Args:
            places: int[any], from 0.
        """
        chosen = np.asarray(places, dtype=np.int64).reshape(-1)
        counts = self.counts[chosen]
        begins = (np.cumsum(self.counts) - self.counts)[chosen]
        atoms = np.repeat(begins - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        values: dict[str, Any] = {}
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if name in _TEXTS:
                values[name] = [value[place] for place in chosen.tolist()]
            else:
                rows = atoms if name in _OF_ATOMS else chosen
                values[name] = None if value is None else value[rows]
        return type(self)(**values)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def ids(self) -> list[str | None]:
        """The id of each structure: `sid_fid`, `sid` where there is no fid, else None."""
        return [
            sid if sid is None or fid is None else f"{sid}_{fid}"
            for sid, fid in zip(self.sids, self.fids, strict=True)
        ]

    def of_atoms(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Split values of all atoms, [A, ...], into those of each structure."""
        return np.split(values, np.cumsum(self.counts)[:-1])

    def to_bytes(self) -> bytes:
        """Return the predictions as an npz archive without pickles, for `from_bytes`."""
        texts = json.dumps([getattr(self, name) for name in _TEXTS]).encode()
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _TEXTS}
        file = io.BytesIO()
        np.savez(
            file,
            texts=np.frombuffer(texts, dtype=np.uint8),
            **{name: value for name, value in arrays.items() if value is not None},
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Return the predictions that `to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(file)
        names, sids, fids = json.loads(arrays.pop("texts").tobytes())
        return cls(names=names, sids=sids, fids=fids, **arrays)
