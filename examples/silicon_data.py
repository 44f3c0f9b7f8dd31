"""Training data of silicon: energies, forces and stresses of OpenKIM's Stillinger-Weber model.

    python examples/silicon_data.py [--output silicon-data] [--seed 0]

writes train.extxyz and test.extxyz: snapshots of molecular dynamics between 300 and 1500 K, and
rattled cells that are compressed, expanded and sheared, 64 atoms each. The same seed gives the same
files. The labels come from a potential, so that errors of a trained model can be computed for any
structure.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.kim import KIM
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.md.langevin import Langevin
from rich.console import Console

from torchml import TorchMLError

NATIVE = r"SW_StillingerWeber_1985_Si__MO_405512056662_\d{3}"
LATTICE_CONSTANT = 5.431  # Å
TEMPERATURES = (300.0, 600.0, 900.0, 1200.0, 1500.0)  # K
TIMESTEP = 2.0  # fs
FRICTION = 0.02  # 1/fs
WARM_UP = 100  # steps, in which kinetic energy becomes potential energy
INTERVAL = 20  # steps between snapshots: 40 fs, most of a period of the fastest phonon


@dataclass(frozen=True)
class Size:
    """Numbers of structures of each kind."""

    snapshots: int  # of each temperature
    strained: int


TRAINING = Size(snapshots=30, strained=50)
TEST = Size(snapshots=8, strained=10)


def main() -> int:
    """Write the two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("silicon-data"), metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console()
    try:
        with console.status("molecular dynamics with OpenKIM's Stillinger-Weber model"):
            files = generate(options.output, options.seed)
    except TorchMLError as error:
        print(f"silicon_data: {error}", file=sys.stderr)
        return 1
    for file in files:
        console.print(f"wrote {file}")
    return 0


def generate(
    folder: Path, seed: int = 0, progress: Callable[[float], object] = lambda share: None
) -> tuple[Path, Path]:
    """Write `folder`/train.extxyz and test.extxyz and return their paths.

    `progress` is called with the fraction that is done, 0 to 1.
    """
    native = find_native()
    folder.mkdir(parents=True, exist_ok=True)
    # The test set has other trajectories and random numbers and is independent.
    streams = np.random.default_rng(seed).spawn(2)
    total = count(TRAINING) + count(TEST)
    done = 0
    written = []
    for name, size, random in zip(("train", "test"), (TRAINING, TEST), streams, strict=True):
        structures = []
        with inside_scratch():
            for atoms in labelled(native, size, random):
                structures.append(atoms)
                done += 1
                progress(done / total)
        path = folder / f"{name}.extxyz"
        temporary = path.with_name(f".{path.name}")
        write(temporary, structures, format="extxyz")
        os.replace(temporary, path)
        written.append(path)
    return written[0], written[1]


def count(size: Size) -> int:
    """Number of structures."""
    return len(TEMPERATURES) * size.snapshots + size.strained


def check_environment() -> None:
    """Check before a training, not after it, that its model can be installed and compared."""
    if not os.environ.get("KIM_API_PORTABLE_MODELS_DIR"):
        raise TorchMLError(
            "KIM_API_PORTABLE_MODELS_DIR is not set, expected the collection to install into; "
            "'. env.sh' of the installation sets it"
        )
    find_native()


def find_native() -> str:
    """Return the KIM name of the installed Stillinger-Weber model of OpenKIM."""
    with tempfile.TemporaryDirectory() as scratch:  # KIM-API writes a log
        listed = subprocess.run(
            ["kim-api-collections-management", "list"],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
    found = sorted(set(re.findall(NATIVE, listed.stdout)))
    if not found:
        raise TorchMLError(
            "OpenKIM's SW_StillingerWeber_1985_Si__MO_405512056662 is not installed, expected it "
            "from the system's package openkim-models"
        )
    return found[-1]


@contextmanager
def inside_scratch() -> Iterator[None]:
    """Change the working directory, because KIM-API writes kim.log there."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            yield
        finally:
            gc.collect()  # ASE's calculators of KIM models contain reference cycles
            os.chdir(here)


def labelled(native: str, size: Size, random: np.random.Generator) -> Iterator[Atoms]:
    """Structures with the energies, forces and stresses of the KIM model `native`."""
    calculator = KIM(native)
    for temperature in TEMPERATURES:
        yield from dynamics(calculator, temperature, size.snapshots, random)
    for _ in range(size.strained):
        atoms = strained(random)
        atoms.calc = calculator
        yield with_labels(atoms, "strained")


def silicon() -> Atoms:
    """64 atoms of the diamond lattice."""
    return bulk("Si", "diamond", a=LATTICE_CONSTANT, cubic=True) * (2, 2, 2)


def dynamics(
    calculator: KIM, temperature: float, snapshots: int, random: np.random.Generator
) -> Iterator[Atoms]:
    """Snapshots of Langevin dynamics at a temperature (K)."""
    atoms = silicon()
    atoms.calc = calculator
    # Half of it turns into potential energy within a period, hence twice the temperature.
    spread = np.sqrt(2.0 * units.kB * temperature * atoms.get_masses())
    atoms.set_momenta(random.normal(size=atoms.positions.shape) * spread[:, None])
    run = Langevin(
        atoms,
        TIMESTEP * units.fs,
        temperature_K=temperature,
        friction=FRICTION / units.fs,
        fixcm=False,
        rng=random,
    )
    run.run(WARM_UP)
    for _ in range(snapshots):
        run.run(INTERVAL)
        yield with_labels(atoms, f"{temperature:.0f} K")


def strained(random: np.random.Generator) -> Atoms:
    """A cell 6 % shorter to 8 % longer, sheared by up to 4 %, its atoms displaced."""
    atoms = silicon()
    shear = random.uniform(-0.04, 0.04, (3, 3))
    strain = (shear + shear.T) / 2
    np.fill_diagonal(strain, random.uniform(-0.06, 0.08) + np.diag(strain))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.positions += random.normal(0.0, random.uniform(0.0, 0.12), atoms.positions.shape)
    return atoms


def with_labels(atoms: Atoms, group: str) -> Atoms:
    """Return a copy with its results (eV, eV/Å, eV/Å³) and the name of its group."""
    copy = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    copy.info["group"] = group
    copy.calc = SinglePointCalculator(
        copy,
        energy=atoms.get_potential_energy(),
        forces=atoms.get_forces(),
        stress=atoms.get_stress(),
    )
    return copy


if __name__ == "__main__":
    sys.exit(main())
