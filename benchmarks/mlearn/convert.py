"""Convert the data of github.com/materialsvirtuallab/mlearn to extended XYZ.

    python benchmarks/mlearn/convert.py mlearn/data FOLDER

reads `<El>/training.json` and `<El>/test.json` of each element, where they exist, and writes
`mlearn_<El>_train.extxyz` and `mlearn_<El>_test.extxyz` with energies (eV), forces (eV/Å), the
stress (eV/Å³) where there is one, and the group of each configuration.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.units import GPa
from numpy.typing import NDArray

from torchml import TorchMLError

SPLITS = {"training.json": "train", "test.json": "test"}


def main() -> int:
    """Convert all files of a folder; 0 unless one cannot be read."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder `data` of the repository")
    parser.add_argument("folder", type=Path, help="folder for the files")
    options = parser.parse_args()
    try:
        written = convert_all(options.data, options.folder)
    except TorchMLError as error:
        print(f"convert.py: error: {error}", file=sys.stderr)
        return 1
    for path, count in written.items():
        print(f"{path}: {count} configurations")
    return 0


def convert_all(data: Path, folder: Path) -> dict[Path, int]:
    """Return the files written and their numbers of configurations.

    Args:
        data: has a folder for each element.
        folder: of the files; made if need be.

    Raises:
        TorchMLError: there is no data, or a file has other content.
    """
    sources = [file for name in SPLITS for file in sorted(data.glob(f"*/{name}"))]
    if not sources:
        raise TorchMLError(f"{data} has no <element>/training.json or test.json, expected some")
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for source in sources:
        structures = read_json(source)
        path = folder / f"mlearn_{source.parent.name}_{SPLITS[source.name]}.extxyz"
        temporary = path.with_name(f".{path.name}")
        write(temporary, structures, format="extxyz")
        temporary.replace(path)
        written[path] = len(structures)
    return written


def read_json(path: Path) -> list[Atoms]:
    """Return the configurations of a file, with energies, forces and `group`."""
    try:
        return [configuration(entry) for entry in json.loads(path.read_text())]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise TorchMLError(
            f"{path} cannot be read as data of mlearn: {type(error).__name__}: {error}; "
            "expected a list with structure, outputs and group"
        ) from None


def configuration(entry: dict[str, Any]) -> Atoms:
    """Return one configuration; all are periodic, slabs too, as in the calculations."""
    structure, outputs = entry["structure"], entry["outputs"]
    atoms = Atoms(
        [site["species"][0]["element"] for site in structure["sites"]],
        scaled_positions=[site["abc"] for site in structure["sites"]],
        cell=structure["lattice"]["matrix"],
        pbc=True,
    )
    atoms.info["group"] = entry["group"]
    labels: dict[str, Any] = {
        "energy": float(outputs["energy"]),
        "forces": np.array(outputs["forces"], dtype=float),
    }
    if "virial_stress" in outputs:
        labels["stress"] = stress(outputs["virial_stress"], atoms.symbols[0], entry["group"])
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def stress(pressure: list[float], element: str, group: str) -> NDArray[np.float64]:
    """Return the stress (eV/Å³, dE/d(strain)/volume; xx yy zz yz xz xy) of a pressure (kbar).

    The last components of a pressure are xy yz xz, as VASP prints them, in some files and groups,
    and xy xz yz in others. Which ones these are was found with potentials that had learned
    energies and forces alone: the other order has larger errors in each of them.
    """
    printed = element == "Li" or (element in ("Si", "Ge") and group == "Elastic")
    order = [0, 1, 2, 4, 5, 3] if printed else [0, 1, 2, 5, 4, 3]
    return -0.1 * GPa * np.array(pressure, dtype=float)[order]


if __name__ == "__main__":
    sys.exit(main())
