"""Measure what a committee costs beside one of its members, in the engine that LAMMPS runs.

    python benchmarks/committee.py                    # SchNet, PaiNN and TensorNet, of 4 members
    python benchmarks/committee.py --members 8 --repeat 4

The structure is rattled diamond silicon, whose atoms move a little in each round, as in a
simulation. One model and the committee are called in turn, with energy and forces; the CPU times of
one thread are compared, round by round. The last column also requests the deviations.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from rich.console import Console
from rich.table import Table

from torchml import Potential
from torchml.contract import metadata
from torchml.export.compression import compress
from torchml.models import Committee, EdgeModel, PaiNN, Scaled, SchNet, TensorNet, describe, script
from torchml.neighbors import periodic_particles

CUTOFF = 5.0
MODELS: dict[str, Callable[[], EdgeModel]] = {
    "SchNet": lambda: SchNet(["Si"], CUTOFF, layers=3, features=64),
    "PaiNN": lambda: PaiNN(["Si"], CUTOFF, layers=3, features=64),
    "TensorNet": lambda: TensorNet(["Si"], CUTOFF, layers=2, features=64),
}
LIMIT = 0.9  # of the cost of as many single models


def main() -> int:
    """Print a table; the status is 1 where a committee costs more than the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3, help="cells of 8 atoms in each direction")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("model", "one (ms)", f"{options.members} members (ms)", "ratio", "deviations")
    worst = 0.0
    for name in options.models:
        for compressed in (False, True):
            one, all_members, watched = measure(name, compressed, options)
            ratio = median(b / a for a, b in zip(one, all_members, strict=True))
            worst = max(worst, ratio)
            label = f"{name}, compressed" if compressed else name
            extra = median(b / a for a, b in zip(one, watched, strict=True))
            times = (f"{1e3 * median(times):.1f}" for times in (one, all_members))
            table.add_row(label, *times, f"{ratio:.2f}", f"{extra:.2f}")
    Console().print(table)
    return int(worst > LIMIT * options.members)


def measure(
    name: str, compressed: bool, options: argparse.Namespace
) -> tuple[list[float], list[float], list[float]]:
    """CPU times (s) of one member, of the committee, and of the committee with deviations."""
    members = []
    for seed in range(options.members):
        torch.manual_seed(seed)
        member: EdgeModel = Scaled(MODELS[name]()).eval()
        members.append(compress(member).model if compressed else member)
    with tempfile.TemporaryDirectory() as folder:
        one = opened(members[0], Path(folder) / "one.pt")
        committee = opened(Committee(members).eval(), Path(folder) / "committee.pt")
    atoms = bulk("Si", cubic=True).repeat(options.repeat)
    generator = np.random.default_rng(0)
    times: tuple[list[float], list[float], list[float]] = ([], [], [])
    for number in range(options.rounds + 2):
        atoms.positions += generator.normal(scale=0.01, size=(len(atoms), 3))
        for place, (potential, request) in enumerate(
            ((one, False), (committee, False), (committee, True))
        ):
            passed = time_of(potential, atoms, request)
            if number >= 2:  # the first calls allocate
                times[place].append(passed)
    return times


def time_of(potential: Potential, atoms: Atoms, members: bool) -> float:
    """CPU time of one evaluation in the engine (s), without the search for neighbours in Python."""
    cell = (atoms.positions, atoms.cell.array, atoms.pbc)
    particles = periodic_particles(*cell, potential.spec.cutoff, potential.reach)
    codes = potential.codes(atoms)[particles.image_of]
    arrays = (particles.coordinates, particles.contributing)
    lists = (particles.neighbor_offsets, particles.neighbors)
    begin = time.process_time()
    potential.evaluate_particles(
        codes, *arrays, *lists, image_of=particles.image_of, members=members
    )
    return time.process_time() - begin


def opened(model: EdgeModel, path: Path) -> Potential:
    metadata.save(script(model, "edges"), path, describe(model, "edges"))
    return Potential(path)


if __name__ == "__main__":
    raise SystemExit(main())
