"""featomic's SOAP, timed for benchmarks/descriptor.py; its own search for neighbours is included.

It has another radial basis: only the speed can be compared.
"""

import importlib.metadata

from ase import Atoms
from featomic import SoapPowerSpectrum
from serving import Way, read, serve


def main() -> None:
    """Time values and the Jacobian; featomic has no products."""
    system, cases = read()
    atoms = Atoms(
        f"Si{system.centers}", system.positions[: system.centers], cell=system.cell, pbc=True
    )
    ways = {}
    for case in cases:
        if case["kind"] != "SOAP":
            continue
        name, given = case["name"], case["parameters"]
        calculator = SoapPowerSpectrum(
            cutoff={"radius": given["cutoff"], "smoothing": {"type": "Step"}},
            density={"type": "Gaussian", "width": (2.0 * given["eta"]) ** -0.5},
            basis={
                "type": "TensorProduct",
                "max_angular": given["l_max"],
                "radial": {"type": "Gto", "max_radial": given["n_max"] - 1},
            },
        )
        ways[f"{name} values"] = Way(lambda c=calculator: c.compute(atoms), len(atoms))
        ways[f"{name} jacobian"] = Way(
            lambda c=calculator: c.compute(atoms, gradients=["positions"]), len(atoms)
        )
    serve(ways, {}, importlib.metadata.version("featomic"))


if __name__ == "__main__":
    main()
