"""The structures to relax, and their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ase import Atoms

from torchml.data.configuration import Configuration
from torchml.data.progress import Progress, track
from torchml.errors import DataError
from torchml.relaxation.coordinates import check_constraint, fixed_atoms
from torchml.relaxation.evaluators import Evaluator, check_volume


class Structures:
    """Structures that are converted to ASE's Atoms when they are asked for.

    An id is the `sid` of a structure, with its `fid` where one `sid` has several frames, else its
    place in the sequence.

    Args:
        entries: configurations, which may be read on demand, or structures of ASE.
        ids: texts, one for each; by default those of the structures.

    Raises:
        DataError: there are no structures, or two have one id.

    Attributes:
        ids: one for each.
    """

    def __init__(
        self, entries: Sequence[Atoms] | Sequence[Configuration], ids: Sequence[str] | None = None
    ) -> None:
        if isinstance(entries, Atoms | Configuration):
            raise DataError(
                f"one structure was given ({type(entries).__name__}), expected a list of structures"
            )
        if not len(entries):
            raise DataError("there are no structures to relax, expected at least one")
        self._entries = entries
        self._places: Sequence[int] = range(len(entries))
        self.ids = _own_ids(entries) if ids is None else [str(id) for id in ids]
        if len(self.ids) != len(entries):
            raise DataError(
                f"there are {len(self.ids)} ids for {len(entries)} structures, expected one each"
            )
        twice = [id for id, count in Counter(self.ids).items() if count > 1]
        if twice:
            raise DataError(
                f"{Counter(self.ids)[twice[0]]} structures have the id '{twice[0]}', "
                "expected a different one for each"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def atoms(self, index: int) -> Atoms:
        """Return a structure."""
        return self._atoms(self._entries[self._places[index]])

    def _atoms(self, entry: Atoms | Configuration) -> Atoms:
        return entry.to_atoms() if isinstance(entry, Configuration) else entry

    def select(self, ids: Sequence[str]) -> None:
        """Keep the structures with these ids.

        Raises:
            DataError: there is none with one of them.
        """
        place = {id: k for k, id in enumerate(self.ids)}
        if unknown := [id for id in ids if id not in place]:
            raise DataError(
                f"no structure has the id '{unknown[0]}', expected ids such as "
                f"{', '.join(self.ids[:3])}"
            )
        chosen = sorted({place[id] for id in ids})
        self._places = [self._places[k] for k in chosen]
        self.ids = [self.ids[k] for k in chosen]

    def check(self, evaluator: Evaluator, cell: bool) -> None:
        """Raise DataError with the first structure that cannot be relaxed.

        Args:
            evaluator: of the model, which may not know its elements.
            cell: whether the cell relaxes, which then has to have a volume.
        """
        for k, id in enumerate(track(self.ids, "checking structures", len(self))):
            entry = self._entries[self._places[k]]
            atoms = self._atoms(entry)
            try:
                if isinstance(entry, Configuration):
                    check_constraint(entry.constraint)
                fixed_atoms(atoms)
                evaluator.check(atoms)
                if cell:
                    check_volume(atoms)
            except DataError as error:
                source = f" ({entry.name})" if isinstance(entry, Configuration) else ""
                raise DataError(f"structure '{id}'{source}: {error}") from None


def _own_ids(entries: Sequence[Atoms] | Sequence[Configuration]) -> list[str]:
    """Return sid, sid_fid where one sid has several frames, or the places."""
    pairs = []
    with Progress("reading ids", len(entries)) as bar:
        for entry in entries:
            pairs.append(_sid_and_fid(entry))
            bar.advance()
    sids = [sid for sid, _ in pairs]
    if None in sids:
        return [str(k) for k in range(len(entries))]
    if len(set(sids)) == len(sids):
        return [str(sid) for sid in sids]
    return [str(sid) if fid is None else f"{sid}_{fid}" for sid, fid in pairs]


def _sid_and_fid(entry: Atoms | Configuration) -> tuple[str | None, str | None]:
    if isinstance(entry, Configuration):
        return entry.sid, entry.fid
    sid, fid = entry.info.get("sid"), entry.info.get("fid")
    return None if sid is None else str(sid), None if fid is None else str(fid)
