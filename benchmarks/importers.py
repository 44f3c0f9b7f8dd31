"""Measure energies, forces and stress of a model of another package, beside its own calculator.

    python benchmarks/importers.py 7net-0 --from sevennet --python DIR/bin/python

The package's calculator runs in its own environment; ours are archives in ASE's calculator
`torchml.Calculator`: TorchScript, the same with splines, and both compiled ahead of time. All have
one thread and the same structures, which move in each round, one after the other. The structure is
rattled diamond silicon, or that of a file.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from common.options import parse_with_common_options
from common.reports import machine, new_table, progress_bar, write_json
from common.workers import Worker
from rich.console import Console
from rich.table import Table

from torchml import Calculator, TorchMLError
from torchml.contract import metadata
from torchml.export.aoti.compilation import compile_module
from torchml.export.compression import compress
from torchml.importers.foreign import write_reader
from torchml.importers.opening import Foreign, cast, load
from torchml.models import EdgeModel, describe, script

WAYS = ("package", "TorchScript", "TorchScript compressed", "AOTI", "AOTI compressed")
ROUNDS = 5
WARM_UP = 3


@dataclass
class Way:
    """A way to run the model.

    times: CPU time of each call, s.
    energies: of the same calls, eV.
    """

    name: str
    times: list[float] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)

    @property
    def time(self) -> float:
        return float(np.median(self.times))


def main() -> int:
    """Run the benchmark; 0 unless something fails."""
    options = parse_options()
    torch.set_num_threads(1)
    console = Console()
    try:
        atoms = structure(options)
        ways = [Way(name) for name in options.ways]
        with progress_bar(console) as progress, tempfile.TemporaryDirectory() as scratch:
            task = progress.add_task("preparing", total=WARM_UP + options.rounds)
            measure(options, atoms, ways, Path(scratch), lambda: progress.advance(task))
    except TorchMLError as error:
        print(f"importers.py: {error}", file=sys.stderr)
        return 1
    console.print(results(ways, options, atoms))
    path = options.output / "importers.json"
    content = {"machine": machine(), "model": options.model, "atoms": len(atoms)}
    write_json({**content, "ways": [asdict(way) for way in ways]}, path)
    console.print(f"All figures: {path}")
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="file, or a name that the package knows")
    parser.add_argument("--from", dest="kind", required=True, help="the package")
    parser.add_argument("--head", help="head or modality")
    parser.add_argument(
        "--python", default=sys.executable, help="of the package's environment (default: this)"
    )
    parser.add_argument("--structure", type=Path, help="file that ASE reads")
    parser.add_argument(
        "--cells", type=int, default=4, help="cells of 8 atoms along each edge (default: 4)"
    )
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float32")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS[:3]))
    return parse_with_common_options(parser, rounds=ROUNDS, result="importers.json")


def structure(options: argparse.Namespace) -> Atoms:
    """The atoms of the first round."""
    if options.structure is not None:
        atoms = ase.io.read(options.structure, index=-1)
        assert isinstance(atoms, Atoms)
        return atoms
    crystal: Atoms = bulk("Si", "diamond", a=5.431, cubic=True).repeat(options.cells)
    crystal.rattle(0.05, seed=2018)
    return crystal


def measure(
    options: argparse.Namespace,
    atoms: Atoms,
    ways: list[Way],
    scratch: Path,
    advance: Callable[[], None],
) -> None:
    """Call all ways in turn, with atoms that move."""
    species = sorted(set(atoms.symbols))
    wish = {"model": options.model, "species": species, "head": options.head}
    wish["dtype"] = options.dtype
    reader = write_reader(scratch / "reader.pyz")
    program = Path(__file__).parent / "common" / "own_calculator.py"
    arguments = [str(reader), options.kind, json.dumps(wish)]
    calculators = archives(options, species, scratch)
    with Worker("package", program, arguments, Path(options.python)) as package:
        for number in range(WARM_UP + options.rounds):
            atoms.rattle(0.01, seed=number)
            for way in ways:
                if way.name == "package":
                    spent, energy = ask(package, atoms)
                else:
                    spent, energy = call(calculators[way.name], atoms)
                if number >= WARM_UP:
                    way.times.append(spent)
                    way.energies.append(energy)
            advance()


def ask(package: Worker, atoms: Atoms) -> tuple[float, float]:
    """CPU time and energy of the package's own calculator."""
    answer = package.ask(
        symbols=list(atoms.symbols),
        positions=atoms.positions.tolist(),
        cell=atoms.cell.tolist(),
        pbc=atoms.pbc.tolist(),
    )
    return answer["cpu"], answer["energy"]


def call(calculator: Calculator, atoms: Atoms) -> tuple[float, float]:
    """CPU time and energy of energy, forces and stress."""
    begin = time.process_time()
    calculator.calculate(atoms, ["energy", "forces", "stress"])
    return time.process_time() - begin, float(calculator.results["energy"])


def archives(
    options: argparse.Namespace, species: list[str], scratch: Path
) -> dict[str, Calculator]:
    """A calculator for each way that is ours."""
    python = Path(options.python)
    foreign = Foreign(options.kind, species, options.head, options.dtype, python)
    network = load(options.model, foreign=foreign).model
    assert isinstance(network, EdgeModel)
    made = {}
    for name in options.ways:
        if name == "package":
            continue
        model = copy.deepcopy(cast(network, "float64"))
        if "compressed" in name:
            model = compress(model).model
        cast(model, options.dtype)
        module, facts = script(model, "edges"), describe(model, "edges")
        path = scratch / f"{name.replace(' ', '_')}.pt"
        if name.startswith("AOTI"):
            path = path.with_suffix(".pt2")
            kind = "per_particle"
            compile_module(module, facts, path, name=name, energy_kind=kind, network=model)
        else:
            metadata.save(module, path, facts)
        made[name] = Calculator(path)
    return made


def results(ways: list[Way], options: argparse.Namespace, atoms: Atoms) -> Table:
    """Times beside the package's own."""
    table = new_table(
        f"{options.model}, {len(atoms)} atoms, {options.dtype}: CPU time of a call (medians)",
        ["way"],
        ["time/s", "package/time", "energy off by"],
        "package/time: that of the package's own calculator over it. energy: largest relative "
        "difference to the package's.",
    )
    own = next((way for way in ways if way.name == "package"), None)
    for way in ways:
        share = difference = "-"
        if own is not None:
            share = f"{own.time / way.time:.1f}"
            difference = f"{np.abs(np.divide(way.energies, own.energies) - 1).max():.0e}"
        table.add_row(way.name, f"{way.time:.3f}", share, difference)
    return table


if __name__ == "__main__":
    sys.exit(main())
