"""A GPU beside the CPU: results, ranks, times and transfers. `make gpu-check` runs it.

    python benchmarks/gpu.py [--device cuda] [--cells 5 10] [--ranks 1 2 4] [--json gpu.json]

1. Models of all calling conventions, as TorchScript and compiled, give the results of the CPU.
2. Several processes share the GPU, as the ranks of a simulation do, and give the same results.
3. Times of a step: engine on the GPU, engine on the CPU, and the network alone on the GPU.
4. Copies of one step to the GPU: one of each input, from pinned memory.

Without a GPU it says so and ends with status 0. docs/gpu.md explains the lines.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from common.reports import write_json
from rich.console import Console
from rich.table import Table

from torchml import Potential, TorchMLError
from torchml.contract import metadata
from torchml.contract.metadata import quiet_torchscript
from torchml.export.aoti.compilation import compile_module
from torchml.export.compression import compress
from torchml.inference import ManyStructures
from torchml.models import (
    ACE,
    Committee,
    DescriptorPotential,
    EdgeModel,
    Scaled,
    SchNet,
    StillingerWeber,
    describe,
    script,
)
from torchml.reference.agreement import Check, agreement, compared, difference, failure, holds
from torchml.validation.report import rows

CUTOFF = 4.0  # Å
SKIN = 0.5  # Å
STEPS = 20
INPUTS = 4  # tensors of the convention `edges`


def schnet(dtype: str = "float64", seed: int = 1) -> Scaled:
    """A network of three layers with random weights."""
    torch.manual_seed(seed)
    return Scaled(SchNet(["Si"], CUTOFF, layers=3, features=32, gaussians=16, dtype=dtype)).eval()


def ace() -> Scaled:
    torch.manual_seed(2)
    return Scaled(ACE(["Si"], CUTOFF)).eval()


def descriptor() -> Scaled:
    torch.manual_seed(3)
    return Scaled(DescriptorPotential(["Si"], CUTOFF, hidden=[8])).eval()


MODELS: dict[str, tuple[str, Callable[[], EdgeModel]]] = {
    "raw": ("raw", StillingerWeber),
    "graph": ("graph", schnet),
    "edges": ("edges", schnet),
    "edges, float32": ("edges", lambda: schnet("float32")),
    "compressed": ("edges", lambda: compress(schnet()).model),
    "ACE": ("edges", ace),
    "descriptor": ("descriptor", descriptor),
    "committee": ("edges", lambda: Committee([schnet(seed=4), schnet(seed=5)]).eval()),
}
COMPILED = ("raw", "graph", "edges", "descriptor")  # one of each convention


def silicon(cells: int) -> Atoms:
    """Rattled diamond, 8 atoms in each cell."""
    atoms = bulk("Si", cubic=True) * (cells, cells, cells)
    atoms.rattle(0.1, seed=1)
    return atoms


def structures() -> dict[str, Atoms]:
    slab = silicon(2)
    slab.pbc = [True, True, False]
    return {
        "crystal": silicon(2),
        "slab": slab,
        "pair": Atoms("Si2", [[0, 0, 0], [0, 0, 2.4]]),
        "atom": Atoms("Si"),
    }


def save(name: str, folder: Path) -> Path:
    """Write a model as TorchScript."""
    convention, make = MODELS[name]
    model, path = make(), folder / f"{name.replace(', ', '_')}.pt"
    metadata.save(script(model, convention), path, describe(model, convention))
    return path


def compiled(name: str, archive: Path, device: str) -> Path:
    """Compile the network of an archive for a device."""
    facts, path = metadata.read(archive), archive.with_suffix(".pt2")
    assert facts is not None
    network = MODELS[name][1]()
    compile_module(None, facts, path, name=name, network=network, device=device)
    return path


def same_results(name: str, archive: Path, model: Path, device: str) -> list[Check]:
    """Compare a model on a device with the TorchScript of it on the CPU."""
    label = f"{name}, {'compiled' if model.suffix == '.pt2' else 'TorchScript'}"
    try:
        reference, potential = Potential(archive), Potential(model, device)
        allowed = agreement(reference.spec.dtype).parity
        checks = []
        for structure, atoms in structures().items():
            expected, found = (one.evaluate(atoms, virial=True) for one in (reference, potential))
            worst = max(
                difference(found.energy, expected.energy, len(atoms)),
                difference(found.forces, expected.forces),
                difference(found.virial, expected.virial, len(atoms)),
            )
            checks.append(compared(label, structure, worst, allowed))
        return checks
    except (TorchMLError, RuntimeError) as error:
        return [failure(label, "", error)]


def milliseconds(archive: Path, device: str, atoms: Atoms, steps: int = STEPS) -> float:
    """Time of one step of the engine, whose neighbour lists are kept (ms)."""
    many, atoms = ManyStructures(Potential(archive, device), skin=SKIN), atoms.copy()
    generator = np.random.default_rng(0)

    def step() -> None:
        atoms.positions += generator.normal(0, 1e-4, atoms.positions.shape)
        next(iter(many.evaluate([atoms])))

    return _timed(step, steps)


def bare_milliseconds(archive: Path, device: str, atoms: Atoms, steps: int = STEPS) -> float:
    """Time of the network alone, energy and derivative, whose inputs lie on the device (ms)."""
    from ase.neighborlist import primitive_neighbor_list

    facts = metadata.read(archive)
    assert facts is not None
    layers, nodes = facts.layers or 1, len(atoms)
    i, j, vectors = primitive_neighbor_list(
        "ijD", atoms.pbc, atoms.cell, atoms.positions, facts.cutoff
    )
    with quiet_torchscript():
        module = torch.jit.load(str(archive), map_location=device).eval()
    place = {"device": device}
    zeros = torch.zeros(nodes, dtype=torch.int64, **place)
    index = torch.tensor(np.stack([j, i]), **place)
    leaf = torch.tensor(vectors, dtype=torch.float64, **place).requires_grad_()
    counts = [nodes] * (layers + 1), [index.size(1)] * layers

    def step() -> None:
        energy = module(zeros, leaf, index, zeros, *counts).sum()
        torch.autograd.grad(energy, leaf)
        if device != "cpu":
            torch.cuda.synchronize()

    return _timed(step, steps)


def _timed(step: Callable[[], None], steps: int) -> float:
    """The median of several calls, after three others (ms)."""
    times = []
    for k in range(steps + 3):
        begin = time.perf_counter()
        step()
        if k >= 3:
            times.append(1e3 * (time.perf_counter() - begin))
    return float(np.median(times))


def rank(archive: Path, device: str, cells: int) -> None:
    """One of several processes: print its energy and the time of a step."""
    atoms = silicon(cells)
    energy = Potential(archive, device).evaluate(atoms).energy
    print(json.dumps({"energy": energy, "ms": milliseconds(archive, device, atoms)}))


def ranks_agree(archive: Path, device: str, cells: int, count: int) -> Check:
    """Let `count` processes evaluate at the same time, and compare with the CPU here."""
    label = f"{count} process{'es' if count > 1 else ''} on one device"
    command = [sys.executable, __file__, "--rank", str(archive), device, str(cells)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    ended = [process.communicate() for process in running]
    for process, (_, errors) in zip(running, ended, strict=True):
        if process.returncode != 0:
            return failure(label, "", (errors.strip().splitlines() or ["it ended"])[-1])
    found = [json.loads(text.splitlines()[-1]) for text, _ in ended]
    atoms = silicon(cells)
    expected = Potential(archive).evaluate(atoms).energy
    worst = max(difference(one["energy"], expected, len(atoms)) for one in found)
    check = compared(label, f"{len(atoms)} atoms", worst, agreement("float64").parity)
    times = ", ".join(f"{one['ms']:.3g}" for one in found)
    return check if not check.passed else Check(**{**asdict(check), "detail": f"{times} ms a step"})


def copies(archive: Path, device: str, cells: int) -> Iterator[Check]:
    """Count the copies of one step to the GPU, as torch's profiler records them."""
    from torch.profiler import ProfilerActivity, profile

    atoms = silicon(cells)
    many = ManyStructures(Potential(archive, device), skin=SKIN)
    for _ in range(3):
        next(iter(many.evaluate([atoms])))
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        next(iter(many.evaluate([atoms])))
        torch.cuda.synchronize()
    names = [event.name for event in recorded.events() if event.name.startswith("Memcpy HtoD")]
    pageable = sum("Pageable" in name for name in names)
    yield holds(
        "copies to the GPU in a step",
        "",
        0 < len(names) <= INPUTS,
        f"{len(names)} copies of {INPUTS} inputs ({', '.join(sorted(set(names)))})",
    )
    yield holds("from pinned memory", "", pageable == 0, f"{pageable} are from pageable memory")


def main() -> int:
    """Check and measure; 0 if nothing failed, or if there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:K, or cpu to try it")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL")
    parser.add_argument("--cells", nargs="+", type=int, default=[5, 10], metavar="N")
    parser.add_argument("--ranks", nargs="*", type=int, default=[1, 2, 4], metavar="N")
    parser.add_argument("--no-compiled", action="store_true", help="leave compiled archives out")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--rank", nargs=3, metavar=("ARCHIVE", "DEVICE", "CELLS"), help="internal")
    options = parser.parse_args()
    if options.rank:
        rank(Path(options.rank[0]), options.rank[1], int(options.rank[2]))
        return 0
    on_gpu = options.device != "cpu"
    if on_gpu and not torch.cuda.is_available():
        print(f"no GPU is at hand (torch {torch.__version__} finds none): nothing was checked")
        return 0
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as scratch:
        checks, times = examine(options, Path(scratch), console)
    name = torch.cuda.get_device_name(options.device) if on_gpu else "CPU"
    print_checks(console, f"{name}, torch {torch.__version__}", checks)
    print_times(console, options.device, times)
    if options.json:
        record = {"device": name, "torch": torch.__version__, "times": times}
        record["checks"] = [asdict(check) for check in checks]
        write_json(record, options.json)
    return 1 if any(check.verdict == "fail" for check in checks) else 0


Times = dict[str, dict[str, float]]


def examine(
    options: argparse.Namespace, folder: Path, console: Console
) -> tuple[list[Check], Times]:
    """All checks, and times of a step (ms) by number of atoms and way."""
    device, checks = options.device, []
    archives = {name: save(name, folder) for name in options.only}
    for name, archive in archives.items():
        console.print(f"{name} ...")
        checks += same_results(name, archive, archive, device)
        if name in COMPILED and not options.no_compiled:
            try:
                model = compiled(name, archive, device.partition(":")[0])
            except TorchMLError as error:
                checks.append(failure(f"{name}, compiled", "", error))
            else:
                checks += same_results(name, archive, model, device)
    archive = folder / "timed.pt"
    metadata.save(script(schnet(), "edges"), archive, describe(schnet(), "edges"))
    for count in options.ranks:
        console.print(f"{count} at the same time ...")
        checks.append(ranks_agree(archive, device, min(options.cells), count))
    if device != "cpu":
        checks += copies(archive, device, min(options.cells))
    times: Times = {}
    for cells in options.cells:
        atoms = silicon(cells)
        console.print(f"times of {len(atoms)} atoms ...")
        times[str(len(atoms))] = {
            "engine": milliseconds(archive, device, atoms),
            "network alone": bare_milliseconds(archive, device, atoms),
            "engine on the CPU": milliseconds(archive, "cpu", atoms, 5),
        }
    return checks, times


def print_checks(console: Console, title: str, checks: list[Check]) -> None:
    """One line for each kind of check, with its worst structure."""
    table = Table(title=title, title_justify="left", box=None)
    for column in ("check", "good", "worst", "limit", "verdict", ""):
        table.add_column(column, overflow="fold")
    for row in rows(checks):
        good, worst = f"{row.good}/{row.number}", row.worst
        table.add_row(row.name, good, row.difference, row.limit, worst.verdict, worst.detail)
    console.print(table)


def print_times(console: Console, device: str, times: Times) -> None:
    """Times of a step in ms."""
    table = Table(title="ms for a step of SchNet, float64", title_justify="left", box=None)
    table.add_column("atoms")
    for way in next(iter(times.values()), {}):
        table.add_column(way.replace("engine", f"engine, {device}") if way == "engine" else way)
    for atoms, row in times.items():
        table.add_row(atoms, *(f"{value:.3g}" for value in row.values()))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
