"""Time the building of staged graphs: ours against the original driver's algorithm.

Rattled diamond silicon, cutoff 4 Å, 3 layers, with the ghosts (out to 14 Å) and the neighbour lists
(out to 6 Å) that LAMMPS passes. The original put both directions of every pair into a hash set,
layer by layer; its algorithm is implemented here again. All are timed in turn in one process, in
CPU time, and must give the same edges.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from common.options import parse_with_common_options
from common.programs import build, objects
from common.reports import machine, new_table, progress_bar, write_json
from rich.console import Console
from rich.table import Table

from torchml import TorchMLError

WAYS = ("original", "symmetric", "directed")
CELLS = {216: 3, 1000: 5, 8000: 10, 27000: 15, 64000: 20}
ROUNDS = 9


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds for one system.

    By way: milliseconds for one graph; speedup, the median over the rounds of the original's time
    over this one's; edges of all stages together, and millions of them per second.
    """

    atoms: int
    particles: int
    milliseconds: dict[str, float]
    speedup: dict[str, float]
    edges: dict[str, int]
    million_edges_per_second: dict[str, float]


def main() -> int:
    """Run the benchmark; 0 when all ways gave the same edges."""
    options = parse_options()
    console = Console()
    try:
        with progress_bar(console) as progress:
            task = progress.add_task("compiling", total=len(options.atoms) * options.rounds)
            program = build("graph_benchmark", options.build)
            results = []
            for atoms in options.atoms:
                progress.update(task, description=f"{atoms} atoms")
                lines = objects([str(program), str(CELLS[atoms]), str(options.rounds)])
                system = next(lines)
                if not system["same_edges"]:
                    raise TorchMLError(f"the graphs of {atoms} atoms differ, expected equal ones")
                rounds = []
                for line in lines:
                    rounds.append(line)
                    progress.advance(task)
                results.append(summarize(system, rounds))
    except TorchMLError as error:
        print(f"graph.py: {error}", file=sys.stderr)
        return 1
    console.print(make_table(results, options.rounds))
    path = options.output / "graph.json"
    write_json({"machine": machine(), "results": [asdict(result) for result in results]}, path)
    console.print(f"All figures: {path}")
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--atoms",
        type=int,
        nargs="+",
        choices=CELLS,
        default=list(CELLS),
        help="contributing atoms (default: %(default)s)",
    )
    return parse_with_common_options(parser, rounds=ROUNDS, result="graph.json")


def summarize(system: dict[str, Any], rounds: list[dict[str, float]]) -> Figures:
    """Return medians, and ratios of times that were measured one after the other."""
    times = {way: median(one[way] for one in rounds) for way in WAYS}
    return Figures(
        atoms=system["atoms"],
        particles=system["particles"],
        milliseconds=times,
        speedup={way: median(one["original"] / one[way] for one in rounds) for way in WAYS},
        edges=system["edges"],
        million_edges_per_second={way: system["edges"][way] / times[way] / 1e3 for way in WAYS},
    )


def make_table(results: list[Figures], rounds: int) -> Table:
    """One row for each system and way."""
    table = new_table(
        f"Staged graphs of 3 layers (median of {rounds} rounds, 1 core)",
        ["atoms", "with ghosts", "algorithm"],
        ["ms", "edges", "10⁶ edges/s", "speed-up"],
        "original: hash sets of pairs; symmetric, directed: this driver's, with the original's "
        "edges and with those our own models use. Edges of all stages; every row gives the same "
        "graph.",
    )
    for one in results:
        for way in WAYS:
            first = way == WAYS[0]
            table.add_row(
                str(one.atoms) if first else "",
                str(one.particles) if first else "",
                way,
                f"{one.milliseconds[way]:.2f}",
                str(one.edges[way]),
                f"{one.million_edges_per_second[way]:.1f}",
                f"{one.speedup[way]:.1f}x",
            )
        table.add_section()
    return table


if __name__ == "__main__":
    sys.exit(main())
