"""DScribe's SOAP, timed for benchmarks/descriptor.py; its own search for neighbours is included."""

import importlib.metadata

import numpy as np
from ase import Atoms
from ase.build import bulk
from dscribe.descriptors import SOAP
from serving import System, Way, read, serve


def main() -> None:
    """Time both radial bases, and the Jacobian if DScribe has it analytically."""
    system, cases = read()
    atoms = Atoms(
        f"Si{system.centers}", system.positions[: system.centers], cell=system.cell, pbc=True
    )
    ways, results = {}, {}
    for case in cases:
        if case["kind"] != "SOAP":
            continue
        name, given = case["name"], case["parameters"]
        some = list(range(50))
        for basis in ("gto", "polynomial"):
            soap = make(given, basis, periodic=True)
            ways[f"{name} values {basis}"] = Way(
                lambda soap=soap, some=some: soap.create(atoms, centers=some), len(some)
            )
        # DScribe has no analytical derivatives with a cell or the polynomial basis.
        piece = bulk("Si", cubic=True, a=5.431) * (3, 3, 3)
        piece.set_pbc(False)
        open_soap = make(given, "gto", periodic=False)
        ways[f"{name} jacobian gto"] = Way(
            lambda soap=open_soap, piece=piece: soap.derivatives(
                piece, method="analytical", return_descriptor=True
            ),
            len(piece),
        )
        results[f"{name} values"] = lambda n, given=given: values(system, given, n)
    serve(ways, results, importlib.metadata.version("dscribe"))


def make(given: dict, basis: str, periodic: bool) -> SOAP:
    """Return DScribe's object with the parameters of a case."""
    return SOAP(
        species=["Si"],
        r_cut=given["cutoff"],
        n_max=given["n_max"],
        l_max=given["l_max"],
        sigma=(2.0 * given["eta"]) ** -0.5,
        rbf=basis,
        periodic=periodic,
    )


def values(system: System, given: dict, n: int) -> np.ndarray:
    """Compute the values in the definition and order of this package: [n, width].

    DScribe adds a Gaussian for the centre and includes atoms beyond the cutoff: its input are the
    neighbours alone, around an empty centre.
    """
    soap = make(given, "polynomial", periodic=False)
    n_max, degrees = given["n_max"], given["l_max"] + 1
    pairs = n_max * (n_max + 1) // 2
    rows = []
    for i in range(n):
        near = system.neighbors[system.offsets[i] : system.offsets[i + 1]]
        environment = Atoms(f"Si{len(near)}", system.positions[near] - system.positions[i])
        row = soap.create(environment, centers=[[0.0, 0.0, 0.0]]).reshape(degrees, pairs)
        rows.append(row.T.ravel() / given["cutoff"] ** 2)
    return np.array(rows)


if __name__ == "__main__":
    main()
