"""Measure a training step of a MACE: by MACE's own modules, and as `torchml fit` trains it.

Eight structures of rattled silicon, 64 atoms each, with random forces; a step computes energies and
forces, the gradient of their squared errors by all weights, and a step of Adam. Both start from
the same weights, so the losses of the first step are equal. Steps are taken in turn, in CPU time,
with one thread; neither includes the loading of data.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from common.mace_models import random_mace
from common.options import parse_with_common_options
from common.reports import machine, new_table, write_json
from rich.console import Console

from torchml import TorchMLError
from torchml.data import Configuration
from torchml.data.batch import collate, make_sample
from torchml.data.graph import GraphBuilder
from torchml.importers.mace import model as mace
from torchml.models.base import float_type
from torchml.training.loop.prediction import predict

HIDDEN = ("64x0e", "32x0e+32x1o")
R_MAX, MAX_ELL = 5.0, 3  # Å, and MACE's default
BATCH, CELLS = 8, 2
WARM_UP = 2

Step = Callable[[], float]  # returns the loss


@dataclass
class Case:
    """One network in one float type: CPU time of each step (s), and the first losses."""

    hidden: str
    dtype: str
    mace: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    losses: tuple[float, float] = (0.0, 0.0)
    parameters: tuple[int, int] = (0, 0)
    edges: int = 0


def main() -> int:
    """Run the benchmark; 0 unless something fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", nargs="+", default=HIDDEN, help="features of an atom")
    parser.add_argument("--dtypes", nargs="+", default=("float64", "float32"))
    options = parse_with_common_options(parser, rounds=6, result="mace_training.json")
    torch.set_num_threads(1)
    cases = [Case(hidden, dtype) for hidden in options.hidden for dtype in options.dtypes]
    try:
        for case in cases:
            measure(case, options.rounds)
    except TorchMLError as error:
        print(f"mace_training.py: {error}", file=sys.stderr)
        return 1
    table = new_table(
        "Training step, CPU time in ms",
        ("features", "dtype"),
        ("edges", "MACE", "torchml", "ratio", "loss, relative difference"),
        "Medians; 8 x 64 atoms, energies and forces.",
    )
    for case in cases:
        theirs, ours = 1e3 * np.median(case.mace), 1e3 * np.median(case.ours)
        table.add_row(
            case.hidden,
            case.dtype,
            str(case.edges),
            f"{theirs:.0f}",
            f"{ours:.0f}",
            f"{theirs / ours:.1f}",
            f"{abs(case.losses[1] / case.losses[0] - 1):.0e}",
        )
    Console().print(table)
    path = options.output / "mace_training.json"
    write_json({"machine": machine(), "cases": [asdict(case) for case in cases]}, path)
    return 0


def measure(case: Case, rounds: int) -> None:
    """Take steps in turn."""
    structures = [rattled(seed) for seed in range(BATCH)]
    generator = np.random.default_rng(0)
    forces = torch.tensor(generator.normal(size=(sum(map(len, structures)), 3)))
    model = random_mace(case.hidden, R_MAX, MAX_ELL)
    potential = mace.load(model)
    potential.network.to(float_type(case.dtype)).requires_grad_()
    model.to(float_type(case.dtype))
    counts = [sum(p.numel() for p in one.parameters()) for one in (model, potential)]
    case.parameters = (counts[0], counts[1])
    steps = (
        step_of_mace(model, structures, forces),
        step_of_torchml(potential, structures, forces),
    )
    builder = GraphBuilder(potential.species, R_MAX, 1)
    case.edges = sum(
        builder(Configuration.from_atoms(one)).edge_index.size(1) for one in structures
    )
    for k in range(WARM_UP + rounds):
        losses = []
        for step, times in zip(steps, (case.mace, case.ours), strict=True):
            start = time.process_time()
            losses.append(step())
            if k >= WARM_UP:
                times.append(time.process_time() - start)
        if k == 0:
            case.losses = (losses[0], losses[1])


def rattled(seed: int) -> Atoms:
    """Silicon, 64 atoms."""
    atoms = bulk("Si", cubic=True) * (CELLS, CELLS, CELLS)
    atoms.rattle(0.05, seed=seed)
    return atoms


def loss_of(energies: torch.Tensor, found: torch.Tensor, forces: torch.Tensor) -> torch.Tensor:
    """Squares of the energies per atom, and of the errors of the forces."""
    return (energies / (8 * CELLS**3)).square().mean() + (found - forces).square().mean()


def step_of_mace(model: torch.nn.Module, structures: list[Atoms], forces: torch.Tensor) -> Step:
    """Return a step with the module of MACE."""
    from mace import data
    from mace.tools import AtomicNumberTable, torch_geometric

    dtype = next(model.parameters()).dtype
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        table = AtomicNumberTable([14])
        graphs = [
            data.AtomicData.from_config(data.config_from_atoms(atoms), z_table=table, cutoff=R_MAX)
            for atoms in structures
        ]
        loader: Any = torch_geometric.dataloader.DataLoader(graphs, batch_size=BATCH, shuffle=False)
        batch = next(iter(loader)).to_dict()
    finally:
        torch.set_default_dtype(before)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> float:
        optimizer.zero_grad()
        torch.set_default_dtype(dtype)
        try:
            result = model(batch, training=True, compute_force=True)
        finally:
            torch.set_default_dtype(before)
        loss = loss_of(result["energy"], result["forces"], forces.to(dtype))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss.detach())

    return step


def step_of_torchml(potential: Any, structures: list[Atoms], forces: torch.Tensor) -> Step:
    """Return a step with the imported network."""
    builder = GraphBuilder(potential.species, potential.cutoff, potential.layers)
    samples = []
    for atoms in structures:
        one = Configuration.from_atoms(atoms)
        samples.append(make_sample(one, builder(one), 0))
    batch = collate(samples)
    weights = [p for p in potential.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=1e-3)

    def step() -> float:
        optimizer.zero_grad()
        found = predict(potential, batch, create_graph=True)
        assert found.forces is not None
        loss = loss_of(found.energy, found.forces, forces)
        loss.backward(inputs=weights)  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss.detach())

    return step


if __name__ == "__main__":
    sys.exit(main())
