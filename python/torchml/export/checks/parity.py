"""A compiled model computes what the TorchScript it is made of computes."""

from __future__ import annotations

import itertools
import math

import numpy as np

import torchml._core as core
from torchml.export.checks.cluster import Cluster
from torchml.reference.agreement import Check, agreement


def check_parity(compiled: core.Potential, archive: core.Potential) -> Check:
    """Compare a compiled model with the TorchScript it was made of, from one atom to 150.

    The difference is relative: that of energies to the larger of the energy and 1 eV, that of
    forces to the larger of the largest force and 1 eV/Å.

    Args:
        compiled: the compiled archive in the engine.
        archive: the TorchScript archive in the engine.
    """
    potentials = (compiled, archive)
    cutoff = potentials[0].spec.cutoff
    allowed = agreement(potentials[0].spec.dtype).parity
    generator = np.random.default_rng(2)
    energy_error = forces_error = 0.0
    sizes = (1, 2, 3, 20, 150)
    for n in sizes:
        side = math.ceil(n ** (1 / 3))
        grid = np.array(list(itertools.product(range(side), repeat=3)), float)[:n]
        positions = cutoff * (0.6 * grid + generator.uniform(-0.1, 0.1, (n, 3)))
        species = np.arange(n) % len(potentials[0].spec.species)
        owns = np.arange(n) % 3 != 1
        found = [
            Cluster(one, np.empty(0), positions, species).evaluate(owns, forces=True)
            for one in potentials
        ]
        energies, forces = zip(*found, strict=True)
        energy_error = max(
            energy_error, abs(energies[0] - energies[1]) / max(1.0, abs(energies[1]))
        )
        largest = max(1.0, float(np.abs(forces[1]).max()))
        forces_error = max(forces_error, float(np.abs(forces[0] - forces[1]).max()) / largest)
    good = energy_error <= allowed and forces_error <= allowed  # False for NaN
    return Check(
        "same as TorchScript",
        "pass" if good else "fail",
        f"largest difference {energy_error:.1e} in energies, {forces_error:.1e} in forces, "
        f"{', '.join(map(str, sizes))} atoms",
    )
