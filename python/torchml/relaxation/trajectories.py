"""Trajectories and structures of one relaxation each, in files that carry its id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree
from urllib.parse import quote

from ase.io.trajectory import Trajectory

from torchml.data.atoms import fixed_of
from torchml.data.configuration import Configuration
from torchml.data.extras import IDS, INFO, read_extras
from torchml.data.keys import Keys
from torchml.data.output import written_then_renamed
from torchml.data.writing import write_extxyz
from torchml.relaxation.results import Relaxed

_LONGEST = 200  # of the 255 bytes that a name may have: endings and temporary names need some


def file_name(id: str, suffix: str) -> str:
    """Return a name for the file of a structure; characters that names cannot have become %XX.

    A long name ends in a digest of the id instead of its rest.
    """
    name = quote(id, safe=" !#$&'()+,;=@[]{}~^")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > _LONGEST:
        digest = hashlib.sha256(id.encode()).hexdigest()[:32]
        name = f"{name[: _LONGEST - len(digest) - 1]}_{digest}"
    return f"{name}{suffix}"


def remove_leftovers(folder: Path, ids: Iterable[str]) -> None:
    """Remove what a killed process left of files of these structures."""
    names = {file_name(id, suffix) for id in ids for suffix in (".traj", ".extxyz")}
    for path in folder.glob(".*"):
        if path.name[1:].rpartition(".")[0] in names:
            rmtree(path)


def write_trajectory(relaxed: Relaxed, folder: Path) -> None:
    """Write the frames of a relaxation as `ID.traj` of ASE.

    Args:
        relaxed: with the frames that the file gets.
        folder: in which the file is written, then renamed.
    """
    with (
        written_then_renamed(folder / file_name(relaxed.id, ".traj")) as temporary,
        Trajectory(temporary, "w") as trajectory,
    ):
        atoms = relaxed.atoms.copy()
        for frame in relaxed.frames:
            trajectory.write(frame.put_into(atoms))


def write_structure(relaxed: Relaxed, folder: Path) -> None:
    """Write the last structure of a relaxation as `ID.extxyz`."""
    write_extxyz([configuration(relaxed)], folder / file_name(relaxed.id, ".extxyz"))


def configuration(relaxed: Relaxed) -> Configuration:
    """Return the last structure with its energy, forces, stress and id."""
    atoms = relaxed.atoms
    results = {} if atoms.calc is None else atoms.calc.results
    kept = {name: value for name, value in atoms.info.items() if name in (*IDS, *INFO)}
    extras = read_extras(kept, {}, len(atoms), Keys(), f"structure '{relaxed.id}'")
    sid, fid = extras.get("sid"), extras.get("fid")
    if relaxed.id not in (sid, f"{sid}_{fid}"):  # another one was given
        sid, fid = relaxed.id, None
    return Configuration(
        atoms.numbers,
        atoms.positions,
        atoms.cell.array,
        atoms.pbc,
        energy=results.get("energy"),
        forces=results.get("forces"),
        stress=results.get("stress"),
        fixed=fixed_of(atoms),
        tags=atoms.arrays.get("tags"),
        source="relaxation",
        sid=sid,
        fid=fid,
        group=None if (group := atoms.info.get("group")) is None else str(group),
        info=extras.get("info", {}),
    )
