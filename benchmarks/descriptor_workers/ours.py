"""This package's descriptors, timed for benchmarks/descriptor.py."""

import numpy as np
from serving import System, Way, cotangent, read, serve

from torchml import __version__, _descriptors


def descriptor_of(case: dict, cutoff: float) -> "_descriptors.Descriptor":
    """The descriptor of a case."""
    kinds = {
        "SymmetryFunctions": symmetry_functions,
        "Bispectrum": _descriptors.BispectrumParameters,
        "SOAP": _descriptors.SoapParameters,
        "Xi": _descriptors.XiParameters,
    }
    parameters = kinds[case["kind"]](["Si"], [[cutoff]], **case["parameters"])
    return _descriptors.Descriptor(parameters)


def symmetry_functions(
    species: list, cutoffs: list, groups: dict
) -> "_descriptors.SymmetryFunctionsParameters":
    """Of rows of numbers by type: g2 (eta, Rs), g4 (zeta, lambda, eta)."""
    one = _descriptors.SymmetryFunction
    functions = [one(one.Kind.g2, eta=eta, shift=shift) for eta, shift in groups["g2"]]
    functions += [
        one(one.Kind.g4, zeta=zeta, lambda_=sign, eta=eta) for zeta, sign, eta in groups["g4"]
    ]
    return _descriptors.SymmetryFunctionsParameters(species, cutoffs, functions)


def main() -> None:
    """Values and vector-Jacobian products on one thread and, as '... 2', on two."""
    system, cases = read()
    species = np.zeros(len(system.positions), np.int32)
    weights, ways, results = {}, {}, {}
    for case in cases:
        name, descriptor = case["name"], descriptor_of(case, system.cutoff)
        weights[name] = cotangent(system.centers, descriptor.width)

        def compute(n, threads=1, d=descriptor):
            return d.compute(*part(system, species, n), threads=threads)

        def pull_back(n, threads=1, d=descriptor, w=weights[name]):
            return d.pull_back(*part(system, species, n), w[:n], threads=threads)["positions"]

        for what, run in (("values", compute), ("vjp", pull_back)):
            results[f"{name} {what}"] = run
            for threads, suffix in ((1, ""), (2, " 2")):
                ways[f"{name} {what}{suffix}"] = Way(
                    lambda run=run, threads=threads: run(system.centers, threads), system.centers
                )
    serve(ways, results, __version__)


def part(system: System, species: np.ndarray, n: int) -> tuple:
    """The first n centres."""
    offsets = system.offsets[: n + 1]
    centers = np.arange(n, dtype=np.int32)
    return system.positions, species, centers, offsets, system.neighbors[: offsets[-1]]


if __name__ == "__main__":
    main()
