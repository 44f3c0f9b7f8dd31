"""Time relaxations: many structures at once beside ASE one by one, with the same model.

    python benchmarks/relax.py [--model MODEL --data FILE...] [--optimizers lbfgs fire]

Rattled silicon of 30 to 60 atoms: crystals with vacancies, slabs with fixed layers, and clusters.
Four models: Stillinger-Weber, which relaxes them; and with random weights, in ten steps, a SchNet,
the same compressed, and a TensorNet. ASE's own optimisers move each structure with our Calculator,
with the same settings: steps and energies must be equal, or the benchmark fails. Both run in turn,
round after round, on one thread; times are CPU times of this process.

How much batches can save depends on the model. The second table has the time of an evaluation for
each edge within the cutoff: by the Calculator's way, where lists are made each time; in calls of
one structure, whose lists are kept; and in calls of as many edges as `torchml.relax` gives them.

Where torch-sim 0.3 is installed (newer versions need Python 3.12), its FIRE relaxes the crystals
with the same network, beside ours.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms
from ase.optimize import FIRE, LBFGS
from common.options import parse_with_common_options
from common.reports import machine, new_table, progress_bar, write_json
from rich.console import Console

from torchml import Calculator, Potential, TorchMLError, relax
from torchml.contract import metadata
from torchml.data import read
from torchml.export.compression import compress
from torchml.inference import ManyStructures
from torchml.models import (
    EdgeModel,
    Scaled,
    SchNet,
    StillingerWeber,
    TensorNet,
    describe,
    script,
)
from torchml.relaxation import RelaxOptions

# Of 64 structures, one cluster does not end within the steps: its path depends on rounding, and so
# cannot be compared.
ROUNDS, STRUCTURES, RANDOM_STEPS = 3, 32, 10
OPTIMIZERS = {"lbfgs": LBFGS, "fire": FIRE}
SAME_ENERGY = {"float64": 1e-6, "float32": 1e-3}  # eV


@dataclass
class Run:
    """One relaxation of all structures: CPU time (s), steps and energies (eV) of each."""

    seconds: float
    steps: list[int]
    energies: list[float]


def silicon(count: int) -> list[Atoms]:
    """Crystals with a vacancy, slabs with a fixed layer, and clusters of 30 to 60 atoms."""
    generator = np.random.default_rng(0)
    structures = []
    for k in range(count):
        atoms = bulk("Si", "diamond", 5.43, cubic=True).repeat((2, 2, 2))
        if k % 3 == 0:
            atoms = atoms[: 33 + k % 28]
            atoms.pbc = False
        elif k % 3 == 1:
            atoms = bulk("Si", "diamond", 5.43, cubic=True).repeat((2, 2, 1))
            del atoms[k % 32]
        else:
            atoms = bulk("Si", "diamond", 5.43, cubic=True).repeat((2, 1, 3))
            atoms.center(vacuum=6.0, axis=2)
            atoms.pbc = (True, True, False)
            atoms.set_constraint(FixAtoms(mask=atoms.positions[:, 2] < 9.0))
        atoms.positions += generator.normal(0, 0.08, atoms.positions.shape)
        structures.append(atoms)
    return structures


def models() -> dict[str, EdgeModel]:
    """Return the models by name."""
    torch.manual_seed(0)
    network = SchNet(["Si"], cutoff=5.0, layers=3, features=64, gaussians=32)
    return {
        "Stillinger-Weber": StillingerWeber(),
        "SchNet": network,
        "compressed": compress(Scaled(network)).model,
        "TensorNet": TensorNet(["Si"], cutoff=5.0),
    }


def opened(network: EdgeModel) -> Potential:
    """Return the potential of a network."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.pt"
        metadata.save(script(network, "edges"), path, describe(network, "edges"))
        return Potential(path)


def timed(work: Callable[[], tuple[list[int], list[float]]]) -> Run:
    begin = time.process_time()
    steps, energies = work()
    return Run(time.process_time() - begin, steps, energies)


def batched(structures: Sequence[Atoms], model: Potential, options: RelaxOptions) -> Run:
    """Relax all structures at once."""

    def work() -> tuple[list[int], list[float]]:
        results = relax(structures, model, options, ids=[str(k) for k in range(len(structures))])
        return [result.steps for result in results], [result.energy for result in results]

    return timed(work)


def one_by_one(structures: Sequence[Atoms], model: Potential, options: RelaxOptions) -> Run:
    """Relax structure after structure with ASE's optimiser and our Calculator."""
    settings: dict[str, Any] = {"maxstep": options.maxstep}
    if options.optimizer == "lbfgs":
        settings |= {"memory": options.memory, "damping": options.damping}
        settings["alpha"] = options.curvature
    calculator = Calculator(model)

    def work() -> tuple[list[int], list[float]]:
        steps, energies = [], []
        for structure in structures:
            atoms = structure.copy()
            atoms.calc = calculator
            with OPTIMIZERS[options.optimizer](atoms, logfile=None, **settings) as dynamics:
                dynamics.run(fmax=options.fmax, steps=options.steps)
            steps.append(dynamics.nsteps)
            energies.append(float(atoms.get_potential_energy()))
        return steps, energies

    return timed(work)


def compare(ours: Run, theirs: Run, dtype: str) -> None:
    """Raise TorchMLError if the relaxations are not the same."""
    difference = np.abs(np.subtract(ours.energies, theirs.energies)).max()
    if difference > SAME_ENERGY[dtype]:
        raise TorchMLError(
            f"the energies differ by up to {difference:.2g} eV, expected less than "
            f"{SAME_ENERGY[dtype]:g} eV"
        )
    if dtype == "float64" and ours.steps != theirs.steps:
        raise TorchMLError("the numbers of steps differ, expected equal ones")


def number_of_edges(structures: Sequence[Atoms], model: Potential) -> int:
    """Return the number of neighbours within the cutoff of all atoms."""
    return sum(
        int(particles.neighbor_offsets[particles.atoms])
        for particles in map(model.particles, structures)
    )


def microseconds_per_edge(
    structures: Sequence[Atoms], model: Potential, count: int
) -> dict[str, float]:
    """Return CPU times of energy and forces, divided by the number of edges: medians."""
    alone, together = ManyStructures(model, most_edges=1), ManyStructures(model)
    ways: dict[str, Callable[[], object]] = {
        "calculator": lambda: [model.evaluate(atoms) for atoms in structures],
        "alone": lambda: alone.evaluate(structures),
        "together": lambda: together.evaluate(structures),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round in range(count + 1):
        for name, work in ways.items():
            begin = time.process_time()
            work()
            if round:  # the first one makes the lists that are kept
                seconds[name].append(time.process_time() - begin)
    edges = number_of_edges(structures, model)
    return {name: 1e6 * median(times) / edges for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model instead of the four")
    parser.add_argument("--data", nargs="+", help="structures instead of silicon")
    parser.add_argument("--structures", type=int, default=STRUCTURES)
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=["lbfgs", "fire"])
    parser.add_argument("--fmax", type=float, default=0.02, help="eV/Å (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=300)
    options = parse_with_common_options(parser, rounds=ROUNDS, result="relax.json")
    torch.set_num_threads(1)
    console = Console()
    structures = silicon(options.structures)
    if options.data:
        structures = [c.to_atoms() for c in read(options.data)[: options.structures]]
    for atoms in structures:
        atoms.calc = None
    sizes = [len(atoms) for atoms in structures]
    console.print(
        f"{len(structures)} structures of {min(sizes)} to {max(sizes)} atoms (mean "
        f"{np.mean(sizes):.1f}), one thread"
    )
    records, edge_times = [], {}
    with progress_bar(console) as bar:
        task = bar.add_task("relaxing", total=None)
        for name, model, fmax, steps in cases(options):
            for optimizer in options.optimizers:
                bar.update(task, description=f"{name}, {optimizer}")
                settings = RelaxOptions(optimizer=optimizer, fmax=fmax, steps=steps)
                runs = rounds(structures, model, settings, options.rounds)
                facts = {"model": name, "optimizer": optimizer, "dtype": model.spec.dtype}
                facts["edges_per_atom"] = number_of_edges(structures, model) / sum(sizes)
                records.append({**facts, **figures(runs)})
            edge_times[name] = microseconds_per_edge(structures, model, options.rounds)
    table = new_table(
        "relaxations",
        ["model", "optimiser", "dtype"],
        ["edges\nper atom", "steps\nmean", "at once\n1/s", "ASE\n1/s", "ratio"],
        f"structures per second of CPU time, median of {options.rounds} rounds in turn; steps and "
        "energies are equal",
    )
    for row in records:
        rates = (f"{row['batched']:.1f}", f"{row['ASE']:.2f}", f"{row['ratio']:.1f}")
        words = (row["model"], row["optimizer"], row["dtype"])
        table.add_row(*words, f"{row['edges_per_atom']:.1f}", f"{row['steps']:.1f}", *rates)
    console.print(table)
    table = new_table(
        "evaluations",
        ["model"],
        ["calculator", "alone", "together"],
        f"µs of CPU time for each edge, median of {options.rounds} rounds in turn",
    )
    for name, times in edge_times.items():
        table.add_row(name, *(f"{value:.2f}" for value in times.values()))
    console.print(table)
    torch_sim = beside_torch_sim(options, console)
    write_json(
        {
            "machine": machine(),
            "atoms": sizes,
            "runs": records,
            "microseconds_per_edge": edge_times,
            "torch_sim": torch_sim,
        },
        options.output / "relax.json",
    )


def cases(options: argparse.Namespace) -> list[tuple[str, Potential, float, int]]:
    """Return name, model, fmax (eV/Å) and steps; random weights have no minima to reach."""
    if options.model:
        model = Potential(options.model)
        return [(Path(options.model).name, model, options.fmax, options.steps)]
    return [
        (name, opened(network), options.fmax, options.steps)
        if isinstance(network, StillingerWeber)
        else (name, opened(network), 0.0, RANDOM_STEPS)
        for name, network in models().items()
    ]


def rounds(
    structures: Sequence[Atoms], model: Potential, settings: RelaxOptions, count: int
) -> dict[str, list[Run]]:
    """Relax in both ways, in turn."""
    batched(structures[:2], model, replace(settings, steps=1))  # what the first call prepares
    runs: dict[str, list[Run]] = {"batched": [], "ASE": []}
    for _ in range(count):
        runs["batched"].append(batched(structures, model, settings))
        runs["ASE"].append(one_by_one(structures, model, settings))
        compare(runs["batched"][-1], runs["ASE"][-1], model.spec.dtype)
    return runs


def beside_torch_sim(options: argparse.Namespace, console: Console) -> dict[str, Any] | None:
    """Compare FIRE with that of torch-sim on crystals of Stillinger-Weber silicon."""
    try:
        from common.torch_sim_fire import STEPS_BETWEEN_SWAPS
        from common.torch_sim_fire import relax as relax_with_torch_sim
    except ImportError:
        newer = "; newer ones need Python 3.12" if sys.version_info < (3, 12) else ""
        console.print(f"torch-sim is left out: version 0.3 is not installed{newer}")
        return None
    crystals = [atoms for atoms in silicon(3 * options.structures) if atoms.pbc.all()]
    settings = RelaxOptions(optimizer="fire", fmax=options.fmax, steps=options.steps)
    network = StillingerWeber()
    model = opened(network)

    def work() -> tuple[list[int], list[float]]:
        limits = {"fmax": settings.fmax, "maxstep": settings.maxstep, "steps": settings.steps}
        return [], relax_with_torch_sim(crystals, network, **limits)

    runs: dict[str, list[Run]] = {"batched": [], "torch-sim": []}
    for _ in range(options.rounds):
        runs["batched"].append(batched(crystals, model, settings))
        runs["torch-sim"].append(timed(work))
        difference = np.abs(np.subtract(*(several[-1].energies for several in runs.values()))).max()
        if difference > 1e-2:  # torch-sim tests the forces after some steps only
            raise TorchMLError(f"torch-sim's energies differ by up to {difference:.2g} eV")
    rates = {
        name: len(crystals) / median(run.seconds for run in several)
        for name, several in runs.items()
    }
    console.print(
        f"fire, {len(crystals)} crystals: {rates['batched']:.1f} structures/s beside "
        f"{rates['torch-sim']:.2f} of torch-sim, ratio "
        f"{rates['batched'] / rates['torch-sim']:.1f} (it tests forces every "
        f"{STEPS_BETWEEN_SWAPS} steps; energies within {difference:.1g} eV)"
    )
    return rates


def figures(runs: dict[str, list[Run]]) -> dict[str, float]:
    """Return rates in structures per second, and their ratio in the median round."""
    count = len(runs["ASE"][0].steps)
    rates = {name: count / median(run.seconds for run in several) for name, several in runs.items()}
    ratio = median(a.seconds / b.seconds for a, b in zip(runs["ASE"], runs["batched"], strict=True))
    return {"steps": float(np.mean(runs["ASE"][0].steps)), **rates, "ratio": ratio}


if __name__ == "__main__":
    main()
