"""A compiled model computes what the TorchScript, or the network, it is made of computes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

import torchml._core as core
from torchml.export.checks.cluster import Cluster
from torchml.models import EdgeModel
from torchml.reference.agreement import Check, agreement
from torchml.reference.model import EagerModel

_Numbers = tuple[float, npt.NDArray[Any]]  # energy (eV) and forces (eV/Å)


def check_parity(compiled: core.Potential, archive: core.Potential) -> Check:
    """Compare a compiled model with the TorchScript it was made of, from one atom to 150.

    The difference is relative: that of energies to the larger of the energy and 1 eV, that of
    forces to the larger of the largest force and 1 eV/Å. A third of the atoms does not contribute.

    Args:
        compiled: the compiled archive in the engine.
        archive: the TorchScript archive in the engine.
    """

    def numbers(potential: core.Potential) -> Callable[[Cluster], _Numbers]:
        def evaluate(cluster: Cluster) -> _Numbers:
            owns = np.arange(len(cluster.positions)) % 3 != 1
            same = Cluster(potential, cluster.cutoffs, cluster.positions, cluster.species)
            return same.evaluate(owns, forces=True)

        return evaluate

    return _compare("same as TorchScript", compiled, numbers(compiled), numbers(archive))


def check_parity_with_network(compiled: core.Potential, network: EdgeModel) -> Check:
    """Compare a compiled model with the network in Python, as `check_parity`; all atoms contribute.

    Args:
        compiled: the compiled archive in the engine.
        network: the network that was compiled.
    """
    reference = EagerModel(network.to("cpu"), compiled.spec)

    def of_engine(cluster: Cluster) -> _Numbers:
        return cluster.evaluate(forces=True)

    def of_network(cluster: Cluster) -> _Numbers:
        symbols = [network.species[code] for code in cluster.species]
        found = reference.evaluate(Atoms(symbols, cluster.positions))
        return float(np.asarray(found.energy)), np.asarray(found.forces)

    return _compare("same as the network", compiled, of_engine, of_network)


def _compare(
    name: str,
    compiled: core.Potential,
    found: Callable[[Cluster], _Numbers],
    expected: Callable[[Cluster], _Numbers],
) -> Check:
    cutoff = compiled.spec.cutoff
    allowed = agreement(compiled.spec.dtype).parity
    generator = np.random.default_rng(2)
    energy_error = forces_error = 0.0
    sizes = (1, 2, 3, 20, 150)
    for n in sizes:
        side = math.ceil(n ** (1 / 3))
        grid = np.array(list(itertools.product(range(side), repeat=3)), float)[:n]
        positions = cutoff * (0.6 * grid + generator.uniform(-0.1, 0.1, (n, 3)))
        species = np.arange(n) % len(compiled.spec.species)
        cluster = Cluster(compiled, np.empty(0), positions, species)
        (energy, forces), (wanted, wanted_forces) = found(cluster), expected(cluster)
        energy_error = max(energy_error, abs(energy - wanted) / max(1.0, abs(wanted)))
        largest = max(1.0, float(np.abs(wanted_forces).max()))
        forces_error = max(forces_error, float(np.abs(forces - wanted_forces).max()) / largest)
    good = energy_error <= allowed and forces_error <= allowed  # False for NaN
    return Check(
        name,
        "pass" if good else "fail",
        f"largest difference {energy_error:.1e} in energies, {forces_error:.1e} in forces, "
        f"{', '.join(map(str, sizes))} atoms",
    )
