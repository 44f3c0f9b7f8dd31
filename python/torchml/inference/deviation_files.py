"""The files in which the driver records how much the members of a committee differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from torchml.errors import FileError

_RUN = ("rank", "ranks", "members", "every", "above", "stop")


@dataclass(frozen=True)
class Atom:
    """An atom whose force deviates by more than the threshold.

    Attributes:
        symbol: its element.
        position: as the simulator had it (Å).
        deviation: of the force (eV/Å).
    """

    symbol: str
    position: tuple[float, float, float]
    deviation: float


@dataclass(frozen=True)
class Deviations:
    """One evaluation.

    Attributes:
        evaluation: number of the evaluation, from 0.
        atoms: number of atoms.
        largest: deviation of the force on an atom (eV/Å).
        mean: of the deviations of the forces on all atoms (eV/Å).
        energies: total energy by each member (eV).
        above: atoms above the threshold, the largest deviation first.
    """

    evaluation: int
    atoms: int
    largest: float
    mean: float
    energies: tuple[float, ...]
    above: tuple[Atom, ...] = ()

    @property
    def energy_deviation(self) -> float:
        """Sample standard deviation of the total energy (eV)."""
        return float(np.std(self.energies, ddof=1))


def read_deviations(files: Sequence[str | Path]) -> list[Deviations]:
    """Read what all ranks of a simulation recorded.

    Args:
        files: that of each rank. A file of several models, one after the other, has a part for
            each: their evaluations follow each other.

    Returns:
        Each evaluation, with the atoms of all ranks. The last one is left out if the run ended
        before all ranks recorded it.

    Raises:
        FileError: a file is missing, is not of this kind, or belongs to another run.
    """
    ranks = [_parts(Path(file)) for file in files]
    runs = [[part.run for part in parts] for parts in ranks]
    for file, own in zip(files, runs, strict=True):
        if [one | {"rank": 0} for one in own] != [one | {"rank": 0} for one in runs[0]]:
            raise FileError(
                f"{file} and {files[0]} are of different runs, expected the files of all ranks of "
                "one simulation"
            )
    expected = list(range(int(runs[0][0]["ranks"])))
    if (found := sorted(int(own[0]["rank"]) for own in runs)) != expected:
        raise FileError(
            f"the files are of the ranks {' '.join(map(str, found))}, expected one of each rank "
            f"from 0 to {expected[-1]}"
        )
    merged: list[Deviations] = []
    for parts in zip(*ranks, strict=True):
        records = [part.records for part in parts]
        common = sorted(set.intersection(*(set(one) for one in records)))
        merged += [_merged([one[number] for one in records]) for number in common]
    return merged


@dataclass
class _Part:
    run: dict[str, float]
    records: dict[int, Deviations]


def _merged(records: Sequence[Deviations]) -> Deviations:
    atoms = sum(one.atoms for one in records)
    above = [atom for one in records for atom in one.above]
    return Deviations(
        evaluation=records[0].evaluation,
        atoms=atoms,
        largest=max(one.largest for one in records),
        mean=sum(one.mean * one.atoms for one in records) / max(atoms, 1),
        energies=tuple(np.sum([one.energies for one in records], axis=0).tolist()),
        above=tuple(sorted(above, key=lambda one: -one.deviation)),
    )


def _parts(file: Path) -> list[_Part]:
    """The runs in a file. A last line that is not complete is left out."""
    if not file.is_file():
        raise FileError(f"{file}: no such file, expected one that TORCHML_DEVIATIONS named")
    text = file.read_text(encoding="utf-8")
    lines = text[: text.rfind("\n") + 1].splitlines()
    parts: list[_Part] = []
    for number, line in enumerate(lines, start=1):
        kind, *words = line.split()
        try:
            if kind == "run":
                parts.append(_Part(_run(words), {}))
            elif kind == "evaluation":
                record = _record(words)
                parts[-1].records[record.evaluation] = record
            elif kind == "atom":
                _add_atom(parts[-1].records, words)
            elif kind != "#":
                raise ValueError
        except (ValueError, KeyError, IndexError):
            raise FileError(
                f"line {number} of {file} is '{line[:60]}', expected a file that the driver wrote "
                "for TORCHML_DEVIATIONS"
            ) from None
    if not parts:
        raise FileError(f"{file} has no line 'run', expected a file of TORCHML_DEVIATIONS")
    return parts


def _run(words: list[str]) -> dict[str, float]:
    values = {name: float(text) for name, text in zip(words[::2], words[1::2], strict=True)}
    if tuple(values) != _RUN:
        raise ValueError
    return values


def _record(words: list[str]) -> Deviations:
    number, _, atoms, _, largest, _, mean, _, _, name, *energies = words
    if name != "energies" or len(energies) < 2:
        raise ValueError
    return Deviations(
        int(number), int(atoms), float(largest), float(mean), tuple(map(float, energies))
    )


def _add_atom(records: dict[int, Deviations], words: list[str]) -> None:
    number, symbol, x, y, z, deviation = words
    record = records[int(number)]
    atom = Atom(symbol, (float(x), float(y), float(z)), float(deviation))
    records[int(number)] = replace(record, above=(*record.above, atom))
