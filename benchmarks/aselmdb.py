"""Time the reading of a large .aselmdb: opening, the first batch, and random rows.

100,000 rows of slabs with adsorbates (energy, forces, tags, fixed atoms, ids), made by the writer
of this package. Random rows are read by this package and, in the Python of --fairchem-python, by
fairchem's AseDBDataset and by ase-db-backends, in turn; each in a process of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common.options import parse_with_common_options
from common.reports import machine, new_table, write_json
from common.workers import Worker
from rich.console import Console

from torchml import TorchMLError
from torchml.data import Configuration, write_aselmdb
from torchml.data.progress import track
from torchml.data.tools.make import Maker, Recipe

READER = Path(__file__).parent / "aselmdb_reader.py"
PEERS = ("fairchem", "fairchem_atoms", "backends")
ROWS_AT_ONCE = 300
LIMITS = {"open": (1.0, 200.0), "batch": (2.0, None)}  # s, MB


def main() -> int:
    """Run the benchmark; 0 when nothing exceeds its limit, and no other reader is faster."""
    options = parse_options()
    console = Console()
    try:
        path = options.build / f"rows_{options.rows}.aselmdb"
        if not path.exists():
            write_aselmdb(track(rows(options.rows), "writing", options.rows), path)
        results = measure(options, path, console)
    except TorchMLError as error:
        console.print(f"error: {error}")
        return 1
    console.print(table(results))
    write_json({"machine": machine(), "results": results}, options.output / "aselmdb.json")
    return 0 if good(results) else 1


def rows(count: int) -> Iterator[Configuration]:
    """As many rows, displaced copies of 50 slabs."""
    slabs = list(Maker(Recipe(kinds=("slabs",), systems=50)))
    rng = np.random.default_rng(0)
    for k in range(count):
        c = slabs[k % len(slabs)]
        noise = rng.normal(scale=0.01, size=c.positions.shape)
        yield replace(c, positions=c.positions + noise, sid=f"random{k // 50}", fid=str(k % 50))


def measure(options: argparse.Namespace, path: Path, console: Console) -> dict[str, Any]:
    """Figures by program and action; random rows are medians over the rounds, per row."""
    results: dict[str, Any] = {}
    rng = np.random.default_rng(1)
    with ExitStack() as stack:
        workers = {"ours": stack.enter_context(reader("ours", path, Path(sys.executable)))}
        results["ours"] = {"open": workers["ours"].ask(open=True)}
        for name in PEERS if options.fairchem_python else ():
            try:
                workers[name] = stack.enter_context(reader(name, path, options.fairchem_python))
                results[name] = {"open": workers[name].ask(open=True)}
            except TorchMLError as error:
                console.print(f"{name} is left out: {error}")
                workers.pop(name, None)
        times: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(options.rounds):
            indices = rng.integers(options.rows, size=ROWS_AT_ONCE).tolist()
            for name, worker in workers.items():
                times[name].append(worker.ask(rows=indices)["cpu"] / ROWS_AT_ONCE)
        for name in workers:
            results[name]["row"] = median(times[name])
    with reader("ours", path, Path(sys.executable)) as worker:
        results["ours"]["batch"] = worker.ask(batch=True)
    return results


def reader(name: str, path: Path, python: Path) -> Worker:
    return Worker(name, READER, [name, str(path)], python)


def good(results: dict[str, Any]) -> bool:
    within = all(
        results["ours"][action]["wall"] < seconds
        and (megabytes is None or results["ours"][action]["memory"] < megabytes)
        for action, (seconds, megabytes) in LIMITS.items()
    )
    return within and all(results["ours"]["row"] <= r["row"] for r in results.values())


def table(results: dict[str, Any]) -> Any:
    columns = ("open, s", "memory of it, MB", "first batch, s", "random row, µs")
    caption = "medians over the rounds, CPU time; opening and the first batch once, wall time"
    shown = new_table("reading .aselmdb", ["program"], columns, caption)
    for name, figures in results.items():
        batch = figures.get("batch")
        shown.add_row(
            name,
            f"{figures['open']['wall']:.3f}",
            f"{figures['open']['memory']:.1f}",
            "" if batch is None else f"{batch['wall']:.2f}",
            f"{1e6 * figures['row']:.0f}",
        )
    return shown


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument(
        "--fairchem-python", type=Path, help="a Python with fairchem-core or ase-db-backends"
    )
    return parse_with_common_options(parser, rounds=9, result="aselmdb.json")


if __name__ == "__main__":
    sys.exit(main())
