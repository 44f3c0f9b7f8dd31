"""Measure energies, forces and stress of a model of another package, beside its own calculator.

    python benchmarks/importers.py 7net-0 --from sevennet --python DIR/bin/python
    python benchmarks/importers.py 7net-0 --from sevennet --python DIR/bin/python \\
        --ways package "package in LAMMPS" "compressed in LAMMPS" \\
        --lammps LMP --pair-style e3gnn --pair-file deployed_serial.pt
    python benchmarks/importers.py small.model --from mace --ways package symmetrix compressed \\
        --symmetrix DIR/bin/python small.json

The package's calculator runs in its own environment; ours are archives in ASE's calculator
`torchml.Calculator`: TorchScript, the same with splines, and both compiled ahead of time. All have
one thread and the same structures, which move in each round, one after the other. The structure is
rattled diamond silicon, or that of a file.

In LAMMPS a time is that of a step of NVE: the package's own pair style in a LAMMPS that has it
(LMP; `--plugin` loads one that comes as a plugin) with the file that it reads, and our models in
`lmp` through `pair_style kim`. The differences of energies and forces are those of the first
structure.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from common.options import parse_with_common_options
from common.own_lammps import Lammps
from common.reports import machine, new_table, progress_bar, write_json
from common.workers import Worker
from rich.console import Console
from rich.table import Table

from torchml import Calculator, TorchMLError, kim
from torchml.contract import metadata, param_file
from torchml.export.aoti.compilation import compile_module
from torchml.export.compression import compress
from torchml.importers.foreign import write_reader
from torchml.importers.opening import Foreign, cast, load
from torchml.models import EdgeModel, describe, script
from torchml.validation.installing import environment

OURS = ("TorchScript", "compressed", "AOTI", "AOTI compressed")
IN_LAMMPS = tuple(f"{way} in LAMMPS" for way in ("package", *OURS))
WAYS = ("package", "symmetrix", *OURS, *IN_LAMMPS)
ROUNDS = 5
WARM_UP = 3
INPUTS = 6  # of the convention `edges`
NEWTON = {"nequip": "off"}  # by pair style, where it must not be on


@dataclass
class Way:
    """A way to run the model.

    times: CPU time of each call, s.
    energy: of the first structure, eV.
    forces: of the same, [N, 3] eV/Å.
    """

    name: str
    times: list[float] = field(default_factory=list)
    energy: float = 0.0
    forces: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))

    @property
    def time(self) -> float:
        return float(np.median(self.times))


Run = Callable[[Atoms], float]


def main() -> int:
    """Run the benchmark; 0 unless something fails."""
    options = parse_options()
    torch.set_num_threads(1)
    console = Console()
    try:
        atoms = structure(options)
        ways = [Way(name) for name in options.ways]
        with progress_bar(console) as progress, tempfile.TemporaryDirectory() as scratch:
            task = progress.add_task("preparing", total=options.warm_up + options.rounds)
            measure(options, atoms, ways, Path(scratch), lambda: progress.advance(task))
    except TorchMLError as error:
        print(f"importers.py: {error}", file=sys.stderr)
        return 1
    console.print(results(ways, options, atoms))
    path = options.output / "importers.json"
    content = {"machine": machine(), "model": options.model, "atoms": len(atoms)}
    figures = [{"name": way.name, "times": way.times, "energy": way.energy} for way in ways]
    write_json({**content, "ways": figures}, path)
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
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["package", *OURS[:2]])
    parser.add_argument(
        "--warm-up", type=int, default=WARM_UP, help="rounds before those that are measured"
    )
    parser.add_argument("--lammps", help="executable that has the package's pair style")
    parser.add_argument("--pair-style", help="the package's")
    parser.add_argument("--pair-file", type=Path, help="what the pair style reads")
    parser.add_argument("--plugin", type=Path, help="plugin of LAMMPS with the pair style")
    parser.add_argument(
        "--symmetrix",
        nargs=2,
        metavar=("PYTHON", "FILE"),
        help="Python that has symmetrix-xl, and the converted model",
    )
    options = parse_with_common_options(parser, rounds=ROUNDS, result="importers.json")
    if IN_LAMMPS[0] in options.ways and not (options.lammps and options.pair_style):
        parser.error(f"the way '{IN_LAMMPS[0]}' needs --lammps, --pair-style and --pair-file")
    if "symmetrix" in options.ways and not options.symmetrix:
        parser.error("the way 'symmetrix' needs --symmetrix")
    return options


def structure(options: argparse.Namespace) -> Atoms:
    """The atoms of the first round."""
    if options.structure is not None:
        atoms = ase.io.read(options.structure, index=-1)
        assert isinstance(atoms, Atoms)
        return atoms
    crystal: Atoms = bulk("Si", "diamond", a=5.431, cubic=True).repeat(options.cells)
    crystal.rattle(0.05, seed=2018)
    crystal.wrap()
    return crystal


def measure(
    options: argparse.Namespace,
    atoms: Atoms,
    ways: list[Way],
    scratch: Path,
    advance: Callable[[], None],
) -> None:
    """Call all ways in turn, with atoms that move."""
    (scratch / "kim").mkdir()
    with (
        ExitStack() as stack,
        environment(OMP_NUM_THREADS="1", KIM_API_PORTABLE_MODELS_DIR=str(scratch / "kim")),
    ):
        archives = archives_of(options, sorted(set(atoms.symbols)), scratch)
        runs = [started(way, options, atoms, archives, scratch, stack) for way in ways]
        for number in range(options.warm_up + options.rounds):
            atoms.rattle(0.01, seed=number)
            for way, run in zip(ways, runs, strict=True):
                spent = run(atoms)
                if number >= options.warm_up:
                    way.times.append(spent)
            advance()


def started(
    way: Way,
    options: argparse.Namespace,
    atoms: Atoms,
    archives: dict[str, Path],
    scratch: Path,
    stack: ExitStack,
) -> Run:
    """What measures a call of a way; its results of the first structure are in the way."""
    ours = archives.get(way.name.removesuffix(" in LAMMPS"))
    if way.name in IN_LAMMPS:
        lammps = stack.enter_context(in_lammps(way.name, options, atoms, ours, scratch))
        way.energy, way.forces = lammps.energy, lammps.forces
        return lambda _: lammps.step()
    if ours is not None:
        calculator = Calculator(ours)
        call(calculator, atoms)
        way.energy, way.forces = calculator.results["energy"], calculator.results["forces"]
        return lambda moved: call(calculator, moved)
    worker = stack.enter_context(worker_of(way.name, options, sorted(set(atoms.symbols)), scratch))
    answer = ask(worker, atoms)
    way.energy, way.forces = answer["energy"], np.array(answer["forces"])
    return lambda moved: float(ask(worker, moved)["cpu"])


def worker_of(name: str, options: argparse.Namespace, species: list[str], scratch: Path) -> Worker:
    """The package's own calculator, or symmetrix-xl."""
    programs = Path(__file__).parent / "common"
    if name == "symmetrix":
        python, file = options.symmetrix
        program = programs / "symmetrix_calculator.py"
        return Worker(name, program, [file, options.dtype], Path(python))
    wish = {"model": options.model, "species": species, "head": options.head}
    reader = write_reader(scratch / "reader.pyz")
    arguments = [str(reader), options.kind, json.dumps({**wish, "dtype": options.dtype})]
    return Worker(name, programs / "own_calculator.py", arguments, Path(options.python))


def ask(worker: Worker, atoms: Atoms) -> dict[str, object]:
    """CPU time, energy and forces of a calculator in a process of its own."""
    return worker.ask(
        symbols=list(atoms.symbols),
        positions=atoms.positions.tolist(),
        cell=atoms.cell.tolist(),
        pbc=atoms.pbc.tolist(),
    )


def call(calculator: Calculator, atoms: Atoms) -> float:
    """CPU time of energy, forces and stress."""
    begin = time.process_time()
    calculator.calculate(atoms, ["energy", "forces", "stress"])
    return time.process_time() - begin


def in_lammps(
    name: str, options: argparse.Namespace, atoms: Atoms, archive: Path | None, scratch: Path
) -> Lammps:
    """The package's pair style, or `pair_style kim` with an archive of ours."""
    species = sorted(set(atoms.symbols))
    elements = " ".join(species)
    folder = scratch / name.replace(" ", "_")
    if archive is not None:
        model = installed(archive, species, scratch)
        first, potential = f"kim init {model} metal", f"kim interactions {elements}"
        return Lammps(name, "lmp", first, potential, atoms, species, folder, options.warm_up)
    style, file = options.pair_style, options.pair_file.absolute()
    plugin = f"plugin load {options.plugin.absolute()}\n" if options.plugin else ""
    first = f"{plugin}units metal\natom_style atomic"
    potential = f"pair_style {style}\npair_coeff * * {file} {elements}"
    newton = NEWTON.get(style, "on")
    program = options.lammps
    return Lammps(name, program, first, potential, atoms, species, folder, options.warm_up, newton)


def installed(archive: Path, species: list[str], scratch: Path) -> str:
    """The name in KIM of an archive."""
    name = kim.model_name(f"Benchmark_{archive.stem}")
    facts = metadata.read(archive)
    assert facts is not None
    kim.write_portable_model(
        scratch / name,
        driver=kim.DRIVER,
        species=species,
        parameter_files={
            archive.name: archive,
            f"{name}.param": param_file.render(facts, archive.name, INPUTS),
        },
        title=name,
        description=name,
    )
    kim.install(scratch / name, "environment")
    return name


def archives_of(options: argparse.Namespace, species: list[str], scratch: Path) -> dict[str, Path]:
    """An archive for each way that is ours."""
    wanted = [one for one in OURS if {one, f"{one} in LAMMPS"} & set(options.ways)]
    if not wanted:
        return {}
    python = Path(options.python)
    foreign = Foreign(options.kind, species, options.head, options.dtype, python)
    network = load(options.model, foreign=foreign).model
    assert isinstance(network, EdgeModel)
    made = {}
    for name in wanted:
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
        made[name] = path
    return made


def results(ways: list[Way], options: argparse.Namespace, atoms: Atoms) -> Table:
    """Times beside the package's own."""
    table = new_table(
        f"{options.model}, {len(atoms)} atoms, {options.dtype}: CPU time of a call (medians)",
        ["way"],
        ["time/s", "package/time", "energy off by", "forces off by"],
        "package/time: that of the package's own calculator over it. Largest differences to that "
        "calculator: of the energy, relative; of the forces, eV/Å.",
    )
    own = next((way for way in ways if way.name == "package"), None)
    for way in ways:
        share = energy = forces = "-"
        if own is not None:
            share = f"{own.time / way.time:.1f}"
            energy = f"{abs(way.energy / own.energy - 1):.0e}"
            forces = f"{np.abs(way.forces - own.forces).max():.0e}"
        table.add_row(way.name, f"{way.time:.3f}", share, energy, forces)
    return table


if __name__ == "__main__":
    sys.exit(main())
