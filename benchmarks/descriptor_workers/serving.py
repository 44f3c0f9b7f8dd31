"""System, timing and JSON protocol of the programs that compute descriptors.

It also runs in other Pythons than that of the benchmark and needs numpy only.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SECONDS = 0.2  # at least, for one measurement
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class System:
    """Bulk silicon: positions [N, 3] (Å) of the atoms, which are the centres, and their images.

    Neighbours of centre i are neighbors[offsets[i]:offsets[i + 1]]; cell [3, 3] and cutoff in Å.
    """

    positions: np.ndarray
    offsets: np.ndarray
    neighbors: np.ndarray
    cell: np.ndarray
    cutoff: float

    @property
    def centers(self) -> int:
        """Number of atoms in the cell."""
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Way:
    """A computation to time: one call of `run` for a number of atoms."""

    run: Callable[[], object]
    atoms: int


def cotangent(centers: int, width: int) -> np.ndarray:
    """The same for every program: [centres, width]."""
    return np.random.default_rng(11).normal(size=(centers, width))


def few(run: Callable[[int], object], most: int) -> Way:
    """Return `run(n)` for as many atoms as fill the time of a measurement, at most `most`."""
    start = time.process_time()
    run(1)
    once = time.process_time() - start
    atoms = int(min(most, max(1, SECONDS / max(once, 1e-6))))
    return Way(lambda: run(atoms), atoms)


def read() -> tuple[System, list[dict]]:
    """Read the system and the cases of the benchmark: arguments 1 and 2."""
    arrays = np.load(sys.argv[1])
    system = System(
        **{name: arrays[name] for name in ("positions", "offsets", "neighbors", "cell")},
        cutoff=float(arrays["cutoff"]),
    )
    with open(sys.argv[2]) as file:
        return system, json.load(file)


def serve(
    ways: dict[str, Way], results: dict[str, Callable[[int], np.ndarray]], version: str
) -> None:
    """Answer until the input ends: {"time": way}, or {"result": name, "centers": n, "file": path}.

    Results are those of the first n atoms.
    """
    say({"ways": list(ways), "results": list(results), "version": version})
    for line in sys.stdin:
        order = json.loads(line)
        if "time" in order:
            say(measure(ways[order["time"]]))
        else:
            np.save(order["file"], results[order["result"]](order["centers"]))
            say({})


def measure(way: Way) -> dict[str, float]:
    """Return CPU and wall time per atom, µs, and the growth of the peak memory, MB."""
    before = forget_largest_memory()
    way.run()
    grown = memory("VmHWM") - before
    runs, start, wall = 0, time.process_time(), time.perf_counter()
    while runs == 0 or time.perf_counter() - wall < SECONDS:
        way.run()
        runs += 1
    scale = 1e6 / (runs * way.atoms)
    return {
        "cpu": (time.process_time() - start) * scale,
        "wall": (time.perf_counter() - wall) * scale,
        "memory": grown,
    }


def forget_largest_memory() -> float:
    """What this process has of memory now, MB, which becomes the largest that it ever had."""
    STATUS.with_name("clear_refs").write_text("5")
    return memory("VmRSS")


def memory(key: str) -> float:
    """VmRSS, the memory of this process, or VmHWM, the largest so far; MB."""
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(key)]
    return int(line.split()[1]) / 1024


def say(content: dict) -> None:
    """One line."""
    print(json.dumps(content), flush=True)
