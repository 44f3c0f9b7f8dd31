"""Small data of OCP's kind: relaxations of adsorbates on copper with ASE's EMT."""

from __future__ import annotations

from functools import cache

import numpy as np
from ase import Atoms
from ase.build import add_adsorbate, fcc111
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.optimize import BFGS

from torchml.data import Configuration

STEPS = 4  # of a relaxation


def slab(seed: int) -> Atoms:
    """Copper with an oxygen atom; the lower layer is fixed."""
    atoms = fcc111("Cu", size=(2, 2, 2), vacuum=5.0, periodic=True)
    add_adsorbate(atoms, "O", 1.4, "fcc")
    atoms.info.clear()
    atoms.set_constraint(FixAtoms(mask=atoms.get_tags() == 2))
    rng = np.random.default_rng(seed)
    atoms.positions[atoms.get_tags() < 2] += rng.normal(scale=0.1, size=(5, 3))
    return atoms


def _frame(atoms: Atoms, sid: int, fid: int) -> Configuration:
    forces = atoms.calc.get_forces(atoms)  # of fixed atoms too
    return Configuration(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell.array,
        pbc=atoms.pbc,
        energy=atoms.calc.get_potential_energy(atoms),
        forces=forces,
        fixed=atoms.get_tags() == 2,
        tags=atoms.get_tags(),
        sid=str(sid),
        fid=str(fid),
    )


@cache
def trajectory(sid: int) -> tuple[Configuration, ...]:
    """Return the frames of one relaxation."""
    atoms = slab(sid)
    atoms.calc = EMT()
    frames: list[Configuration] = []
    optimizer = BFGS(atoms, logfile=None)
    optimizer.attach(lambda: frames.append(_frame(atoms, sid, len(frames))))
    optimizer.run(fmax=1e-9, steps=STEPS)
    return tuple(frames)


def frames(sids: range) -> list[Configuration]:
    """Return S2EF data: all frames of some relaxations."""
    return [frame for sid in sids for frame in trajectory(sid)]


def starts(sids: range) -> list[Configuration]:
    """Return IS2RE and IS2RS data: first frames, with where the relaxation ended."""
    made = []
    for sid in sids:
        first, *_, last = trajectory(sid)
        made.append(
            Configuration(
                numbers=first.numbers,
                positions=first.positions,
                cell=first.cell,
                pbc=first.pbc,
                fixed=first.fixed,
                tags=first.tags,
                sid=first.sid,
                relaxed_positions=last.positions,
                relaxed_energy=last.energy,
                initial_energy=first.energy,
            )
        )
    return made
