"""Measure what a committee costs beside one of its members, in the engine that LAMMPS runs.

    python benchmarks/committee.py                    # of 4 members
    python benchmarks/committee.py --members 8 --repeat 4

The structure is rattled diamond silicon, whose atoms move a little in each round, as in a
simulation. One model, the members one after the other as models of their own, and the committee are
called in turn, with energy and forces; the CPU times of one thread are compared, round by round.
The last column also requests the deviations. Members of the last layer share a network (`torchml
uncertainty`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
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
from torchml.export.compression import compress, has_radial_functions
from torchml.models import (
    ACE,
    Committee,
    EdgeModel,
    PaiNN,
    Posterior,
    Scaled,
    SchNet,
    TensorNet,
    describe,
    script,
)
from torchml.neighbors import periodic_particles

CUTOFF = 5.0
MODELS: dict[str, Callable[[], EdgeModel]] = {
    "SchNet": lambda: SchNet(["Si"], CUTOFF, layers=3, features=64),
    "PaiNN": lambda: PaiNN(["Si"], CUTOFF, layers=3, features=64),
    "TensorNet": lambda: TensorNet(["Si"], CUTOFF, layers=2, features=64),
    "ACE": lambda: ACE(["Si"], CUTOFF, size="small"),
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
    columns = (f"{options.members} models", f"{options.members} members", "with deviations")
    table = Table("model", "one (ms)", *columns)
    worst = 0.0
    for name in options.models:
        for label, models, committee in variants(name, options.members):
            one, *others = measure(models, committee, options)
            ratios = [median(b / a for a, b in zip(one, times, strict=True)) for times in others]
            worst = max(worst, ratios[1])
            table.add_row(label, f"{1e3 * median(one):.1f}", *(f"{x:.2f}" for x in ratios))
    Console().print(table)
    return int(worst > LIMIT * options.members)


def variants(name: str, count: int) -> Iterator[tuple[str, list[EdgeModel], EdgeModel]]:
    """Yield a label, models, and one with as many members."""
    members: list[EdgeModel] = []
    for seed in range(count):
        torch.manual_seed(seed)
        members.append(Scaled(MODELS[name]()).eval())
    fast = [member.for_simulation() for member in members]
    yield name, fast, Committee(fast).eval()
    if has_radial_functions(members[0]):
        splines = [compress(member).model for member in members]
        yield f"{name}, compressed", splines, Committee(splines).eval()
    posterior = Posterior(MODELS[name](), count)
    torch.nn.init.normal_(posterior.draws, std=0.01)
    yield f"{name}, last layer", fast, Scaled(posterior).eval().for_simulation()


def measure(
    models: list[EdgeModel], several: EdgeModel, options: argparse.Namespace
) -> tuple[list[float], ...]:
    """CPU times (s) of one model, of all models, with members, and with deviations."""
    with tempfile.TemporaryDirectory() as folder:
        members = [opened(one, Path(folder) / f"{k}.pt") for k, one in enumerate(models)]
        committee = opened(several, Path(folder) / "committee.pt")
    atoms = bulk("Si", cubic=True).repeat(options.repeat)
    generator = np.random.default_rng(0)
    times: tuple[list[float], ...] = ([], [], [], [])
    for number in range(options.rounds + 2):
        atoms.positions += generator.normal(scale=0.01, size=(len(atoms), 3))
        passed = [time_of(member, atoms, False) for member in members]
        # Another model was called before each first one.
        found = (passed[0], sum(passed), *(time_of(committee, atoms, x) for x in (False, True)))
        if number >= 2:  # the first calls allocate
            for column, value in zip(times, found, strict=True):
                column.append(value)
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
