"""Use a model long and often: memory, energies and bits must stay what they were.

    python benchmarks/endurance.py [--model MODEL] [--steps N] [--only NAME ...]

* `steps`: 64 atoms of silicon at constant energy in LAMMPS, a million steps of 1 fs, new neighbour
  lists every ten. Memory (VmRSS) may change by 1 % after the first tenth. The drift of the energy
  is that of the integrator and of the model, and is only reported.
* `models`: 500 KIM models are created, used and destroyed in one process; each may leave 256 KiB.
* `threads`: 8 threads with a model each compute the bits of one thread alone.
* `ranks`: a cluster flies twice through the boxes of four ranks, of which most are empty at any
  time; its energies are those on one rank, within 1e-7 eV.
* `processes`: 24 structures in four processes, by fork and by spawn, have the bits of this process.

The default model is Stillinger and Weber's silicon, exported and installed here. MODEL is an
archive of another potential of silicon. The exit status is 1 if something is not so.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write
from common.kim_models import install
from common.options import parse_with_common_options
from common.reports import machine, write_json
from rich.console import Console

from torchml import Potential, TorchMLError
from torchml.contract import metadata
from torchml.export import Export
from torchml.models import StillingerWeber, describe, script
from torchml.validation.kim_client import KimModel, kim_log_explains
from torchml.validation.lammps import run_lammps

SAMPLES = 200  # readings of memory and energy in a run
MOST_CHANGE = 0.01  # of the memory
MODELS, MOST_GROWTH = 500, 256.0  # KiB for each model
THREADS, CALLS = 8, 50
RANKS, SAME_ENERGY = 4, 1e-7  # eV
STRUCTURES, PROCESSES = 24, 4

_LAMMPS = """\
kim init {model} metal
atom_modify map array
processors {grid}
boundary p p p
read_data atoms.data
kim interactions Si
mass 1 28.0855
velocity all create {temperature} 7 mom yes rot yes
velocity all set {flight} 0 0 sum yes
neighbor 1.0 bin
neigh_modify every 10 delay 0 check no
fix move all nve
timestep 0.001
thermo {interval}
thermo_style custom step pe etotal
thermo_modify format float %.15g norm no
run {steps} pre yes post no every {interval} "shell 'grep VmRSS /proc/$PPID/status >> memory'"
"""

Result = tuple[bool, str]


def silicon(seed: int = 0, repeat: int = 2) -> Atoms:
    """Rattled silicon; 64 atoms."""
    atoms = bulk("Si", cubic=True) * (repeat, repeat, repeat)
    atoms.rattle(0.05, seed=seed)
    return atoms


def run(
    kim: str, atoms: Atoms, steps: int, *, ranks: int = 1, **variables: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Run LAMMPS at constant energy.

    Returns:
        [samples + 1, 3] step, potential and total energy (eV), and [samples] memory (KiB).
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder / "atoms.data", atoms, format="lammps-data", specorder=["Si"])
        interval = max(steps // SAMPLES, 1)
        script = _LAMMPS.format(model=kim, steps=steps, interval=interval, **variables)
        log = run_lammps(script, folder, ranks, timeout=None)
        memory = [float(line.split()[1]) for line in (folder / "memory").open()]
    rows = [line.split() for line in log.splitlines()]
    figures = {row[0]: row for row in rows if len(row) == 3 and row[0].isdigit()}
    return np.array(list(figures.values()), float), np.array(memory)


def many_steps(archive: Path, kim: str, steps: int) -> Result:
    """Memory and energy of a long run."""
    atoms = silicon()
    energies, memory = run(kim, atoms, steps, grid="* * *", temperature=600, flight=0)
    later = memory[len(memory) // 10 :]
    change = later.max() / later.min() - 1
    drift = np.polyfit(energies[:, 0] / 1000, energies[:, 2], 1)[0] * 1000 / len(atoms)
    detail = f"{steps} steps, {later.min() / 1024:.1f} MiB, changes by {100 * change:.2f} %"
    return change <= MOST_CHANGE, f"{detail}; drift {drift:.1e} meV/atom/ps"


def many_models(archive: Path, kim: str, steps: int) -> Result:
    """Memory of models that were created and destroyed."""
    atoms = silicon()

    def use(models: int) -> float:
        for _ in range(models):
            model = KimModel(kim)
            model.evaluate(atoms)
            del model.arguments  # which refer to the model
        return resident()

    with kim_log_explains(kim):
        before = use(MODELS // 10)  # with what libraries allocate once
        growth = (use(MODELS) - before) / MODELS
    return growth <= MOST_GROWTH, f"{MODELS} models, {growth:.1f} KiB for each"


def resident() -> float:
    """VmRSS of this process, KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def many_threads(archive: Path, kim: str, steps: int) -> Result:
    """Bits of threads with a model each."""
    expected = [_numbers(archive, silicon(seed)) for seed in range(THREADS)]
    wrong: list[str] = []

    def work(seed: int) -> None:
        try:
            potential, atoms = Potential(archive), silicon(seed)
            for _ in range(CALLS):
                found = potential.evaluate(atoms)
                if (found.energy, found.forces.tobytes()) != expected[seed]:
                    wrong.append(f"thread {seed} has other bits than one thread alone")
        except Exception as error:  # must reach the thread that waits
            wrong.append(f"thread {seed}: {error}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return not wrong, wrong[0] if wrong else f"{THREADS} threads, {CALLS} calls each, equal bits"


def many_ranks(archive: Path, kim: str, steps: int) -> Result:
    """Energies of a cluster that leaves and enters ranks."""
    cluster = bulk("Si", cubic=True)
    cluster.rattle(0.05, seed=2)
    cluster.cell = [60.0, 20.0, 20.0]
    length = 2 * 60 * 25  # of 1 fs at 40 Å/ps: twice through the box
    one, four = (
        run(kim, cluster, length, ranks=ranks, grid=grid, temperature=50, flight=40)[0]
        for ranks, grid in ((1, "* * *"), (RANKS, f"{RANKS} 1 1"))
    )
    difference = float(np.abs(one[:, 1] - four[:, 1]).max())
    detail = f"{RANKS} ranks, {length} steps, energies differ by at most {difference:.1e} eV"
    return difference <= SAME_ENERGY, detail


def many_processes(archive: Path, kim: str, steps: int) -> Result:
    """Bits of other processes."""
    work = [(archive, silicon(seed)) for seed in range(STRUCTURES)]
    expected = [_numbers(*one) for one in work]
    for way in ("fork", "spawn"):
        with multiprocessing.get_context(way).Pool(PROCESSES) as pool:
            if pool.starmap(_numbers, work) != expected:
                return False, f"processes by {way} have other bits than this process"
    return True, f"{STRUCTURES} structures in {PROCESSES} processes by fork and spawn, equal bits"


def _numbers(archive: Path, atoms: Atoms) -> tuple[float, bytes]:
    """Energy and bits of the forces."""
    found = Potential(archive).evaluate(atoms)
    return found.energy, found.forces.tobytes()


CHECKS: dict[str, Callable[[Path, str, int], Result]] = {
    "models": many_models,
    "threads": many_threads,
    "ranks": many_ranks,
    "processes": many_processes,
    "steps": many_steps,
}


def main() -> int:
    """Run the checks that were asked for; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="archive of a potential of silicon")
    parser.add_argument("--steps", type=int, default=1_000_000, help="of `steps`")
    parser.add_argument("--only", nargs="+", choices=list(CHECKS), default=list(CHECKS))
    options = parse_with_common_options(parser, rounds=1, result="endurance.json")
    console = Console(soft_wrap=True)
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "endurance.pt"
        if options.model:
            archive.write_bytes(options.model.read_bytes())
        else:
            network = StillingerWeber()
            metadata.save(script(network, "raw"), archive, describe(network, "raw"))
        try:
            order = Export(
                model=archive,
                name="Endurance",
                output=Path(scratch),
                collection="environment",
                overwrite=True,
            )
            kim = install(order)
            for name in options.only:
                with console.status(name):
                    results[name] = CHECKS[name](archive, kim, options.steps)
                good, detail = results[name]
                console.print(f"{name}: {'passed' if good else 'FAILED'}, {detail}")
        except TorchMLError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    figures = {
        name: {"passed": bool(good), "detail": detail} for name, (good, detail) in results.items()
    }
    write_json({"machine": machine(), "results": figures}, options.output / "endurance.json")
    return 0 if all(good for good, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
