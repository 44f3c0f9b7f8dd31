"""Opens an .aselmdb and reads rows of it for benchmarks/aselmdb.py, with one of three programs.

It also runs in other Pythons than that of the benchmark. Arguments: ours, fairchem or backends,
and the file. It answers {"open": true}, {"batch": true} and {"rows": [indices]}.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
BATCH, CUTOFF = 32, 6.0  # configurations; Å


def ours(path: str) -> dict[str, Callable[[], Any]]:
    """Rows become configurations, and batches of graphs."""
    import ase.data
    import torch.utils.data

    from torchml.data import GraphBuilder, read
    from torchml.data.dataset import GraphDataset
    from torchml.data.sampler import Batches

    def batch() -> Any:
        configurations = read(path)
        builder = GraphBuilder(ase.data.chemical_symbols[1:95], CUTOFF, 1)
        dataset = GraphDataset(configurations, builder, labels=("energy", "forces"))
        batches = Batches(dataset.sizes("configurations"), BATCH, shuffle=True)
        return next(iter(torch.utils.data.DataLoader(dataset, batch_size=None, sampler=batches)))

    return {"open": lambda: read(path).__getitem__, "batch": batch}


def fairchem(path: str) -> dict[str, Callable[[], Any]]:
    """Rows become fairchem's AtomicData, without a graph."""
    from fairchem.core.datasets import AseDBDataset

    return {"open": lambda: AseDBDataset({"src": path}).__getitem__}


def fairchem_atoms(path: str) -> dict[str, Callable[[], Any]]:
    """Rows become Atoms of ASE."""
    from fairchem.core.datasets import AseDBDataset

    return {"open": lambda: AseDBDataset({"src": path}).get_atoms}


def backends(path: str) -> dict[str, Callable[[], Any]]:
    """Rows become Atoms of ASE; the reader that fairchem's is built on."""
    from ase_db_backends.aselmdb import LMDBDatabase

    def open_file() -> Any:
        database = LMDBDatabase(path, readonly=True, readahead=False)
        return lambda index: database._get_row_by_index(index).toatoms()

    return {"open": open_file}


def main() -> None:
    ways = {f.__name__: f for f in (ours, fairchem, fairchem_atoms, backends)}
    actions = ways[sys.argv[1]](sys.argv[2])
    say({"actions": list(actions)})
    get: Any = None
    for line in sys.stdin:
        order = json.loads(line)
        if "open" in order:
            get, answer = measured(actions["open"])
        elif "batch" in order:
            answer = measured(actions["batch"])[1]
        else:
            answer = measured(partial(list, map(get, order["rows"])))[1]
        say(answer)


def measured(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result, and wall and CPU time (s) and growth of the largest memory (MB)."""
    STATUS.with_name("clear_refs").write_text("5")  # the largest memory is what there is now
    before = memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": memory("VmHWM") - before,
        "total": memory("VmHWM"),
    }


def memory(key: str) -> float:
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(key)]
    return int(line.split()[1]) / 1024


def say(content: dict[str, Any]) -> None:
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    main()
