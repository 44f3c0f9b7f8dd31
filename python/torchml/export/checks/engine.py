"""A model loads and computes where it will run: with torch alone, and in the driver's engine.

The numbers come from `torchml._core`, the code that the model driver runs inside the simulator.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms

import torchml._core as core
from torchml.contract.signature import Signature, probe
from torchml.errors import TorchMLError
from torchml.export.checks.check import failed
from torchml.export.checks.cluster import Cluster
from torchml.inference.evaluation import Evaluation
from torchml.reference.agreement import Check
from torchml.reference.physics.repeats import repeats
from torchml.reference.physics.symmetries import symmetries_of


def check_alone(archive: Path, extensions: tuple[str, ...]) -> tuple[Check, Signature | None]:
    """Load a TorchScript archive in a fresh Python process that does not import TorchML.

    Args:
        archive: TorchScript.
        extensions: operator libraries that it needs.

    Returns:
        The check, and the signature that the process found; None where the check failed.
    """
    name = "loads with torch alone"
    try:
        signature = probe(archive, extensions)
    except TorchMLError as error:
        return Check(name, "fail", str(error)), None
    return Check(name, "pass", "in a fresh Python process"), signature


def check_engine(model: Path, device: str = "cpu") -> tuple[Check, core.Potential | None]:
    """Load a model in the engine that the model driver runs inside a simulator.

    Args:
        model: folder with the files of a portable model, or an archive with its metadata.
        device: cpu or cuda.

    Returns:
        The check, and the potential in the engine; None where the check failed.
    """
    name = "loads in the driver's engine"
    try:
        potential = core.Potential(str(model), {}, device)
    except TorchMLError as error:
        return Check(name, "fail", str(error)), None
    return Check(name, "pass", f"on {potential.device}"), potential


def check_numbers(
    potential: core.Potential,
    cutoffs: npt.NDArray[Any] | None = None,
    scale: float | None = None,
) -> list[Check]:
    """Check a model in the engine; the first failure ends the checks.

    Args:
        potential: the model.
        cutoffs: of each pair of species, float[S, S] (Å); None is the model's own for all.
        scale: cutoff of the part of a sum for which the atoms are as close as usual (Å); None is
            that of the model.

    Returns:
        The checks of energy, domain decomposition, forces, lone atom, smoothness and symmetries.
    """
    checks: list[Check] = []
    steps: list[Callable[[Cluster], Check]] = [
        _check_energy,
        _check_partition,
        _check_forces,
        _check_lone_atom,
        _check_smooth,
        _check_symmetries,
    ]
    if cutoffs is None:
        cutoffs = np.full((len(potential.spec.species),) * 2, potential.spec.cutoff)
    cluster = Cluster.random(potential, cutoffs, scale or potential.spec.cutoff)
    for step in steps:
        try:
            checks.append(step(cluster))
        except TorchMLError as error:
            name = step.__name__.removeprefix("_check_").replace("_", " ")
            checks.append(Check(name, "fail", str(error)))
        if failed(checks):
            break
    return checks


def _check_energy(cluster: Cluster) -> Check:
    energy = cluster.energy()
    verdict = "pass" if math.isfinite(energy) else "fail"
    return Check("energy", verdict, f"{energy:.6g} eV for a cluster of {len(cluster.positions)}")


def _check_partition(cluster: Cluster) -> Check:
    """Two ranks that own one half each must find the energy of one rank that owns all."""
    left = cluster.positions[:, 0] < np.median(cluster.positions[:, 0])
    whole = cluster.energy()
    parts = cluster.energy(left), cluster.energy(~left)
    error = abs(sum(parts) - whole)
    scale = max(abs(whole), *map(abs, parts))
    bad = error > 1e3 * cluster.agreement.epsilon * scale + 1e-12
    hint = "; are the layers, the cutoff and the use of 'contributing' right?" if bad else ""
    return Check(
        "domain decomposition",
        "fail" if bad else "pass",
        f"energies of two halves sum to the whole within {error:.1e} eV{hint}",
    )


def _check_forces(cluster: Cluster) -> Check:
    """Forces, on ghosts too, against a five-point difference of the energy."""
    owns = np.arange(len(cluster.positions)) % 3 != 0
    energy, forces = cluster.evaluate(owns, forces=True)
    steps = cluster.agreement.slope_steps
    generator = np.random.default_rng(1)
    worst = 0.0
    for index in generator.choice(forces.size, 12, replace=False):
        # A long step drowns the noise of rounding, a short one follows a trained model's
        # curvature; a wrong force is wrong by all of them.
        errors = [abs(_slope(cluster, owns, index, step) + forces.flat[index]) for step in steps]
        worst = max(worst, min(errors))
    largest = float(np.abs(forces).max())
    noise = 50 * cluster.agreement.epsilon * abs(energy) / steps[0]
    good = worst <= cluster.agreement.slope * largest + noise  # False for NaN
    detail = f"largest error {worst:.1e} eV/Å, largest force {largest:.3g} eV/Å"
    if good and largest == 0.0:
        return Check("forces", "fail", "all zero: the energy does not depend on the positions")
    return Check("forces", "pass" if good else "fail", f"finite differences: {detail}")


def _slope(cluster: Cluster, owns: npt.NDArray[np.bool_], index: int, step: float) -> float:
    """Derivative of the energy by one coordinate (eV/Å): a five-point difference."""
    energies = {}
    for k in (-2, -1, 1, 2):
        positions = cluster.positions.copy()
        positions.flat[index] += k * step
        energies[k] = replace(cluster, positions=positions).energy(owns)
    return (energies[-2] - energies[2] + 8 * (energies[1] - energies[-1])) / (12 * step)


def _check_lone_atom(cluster: Cluster) -> Check:
    try:
        energies = [
            replace(cluster, positions=np.zeros((1, 3)), species=np.array([code])).energy()
            for code in range(len(cluster.potential.spec.species))
        ]
    except TorchMLError as error:
        return Check("lone atom", "warn", f"an atom without neighbours stops the model: {error}")
    verdict = "pass" if all(map(math.isfinite, energies)) else "warn"
    return Check("lone atom", verdict, " ".join(f"{energy:.6g}" for energy in energies[:8]) + " eV")


def _check_smooth(cluster: Cluster) -> Check:
    """Energy and force that a pair still has just inside its cutoff."""
    count = len(cluster.potential.spec.species)
    energy_jump = force_jump = scale = 0.0
    for pair in itertools.islice(itertools.combinations_with_replacement(range(count), 2), 10):
        codes, cutoff = np.array(pair), float(cluster.cutoffs[pair])

        def dimer(r: float, codes: npt.NDArray[Any] = codes) -> tuple[float, npt.NDArray[Any]]:
            positions = np.array([[0.0, 0.0, 0.0], [r, 0.0, 0.0]])
            return replace(cluster, positions=positions, species=codes).evaluate(forces=True)

        inside, forces = dimer(cutoff * (1 - 1e-6))
        apart, _ = dimer(cutoff * 1.1)
        energy_jump = max(energy_jump, abs(inside - apart))
        force_jump = max(force_jump, float(np.abs(forces).max()))
        scale = max(scale, abs(inside), abs(apart))
    limit = 1e-4 + 10 * cluster.agreement.epsilon * scale
    smooth = energy_jump < limit and force_jump < 1e-3
    return Check(
        "smooth at the cutoff",
        "pass" if smooth else "warn",
        f"a pair loses {energy_jump:.1e} eV and {force_jump:.1e} eV/Å there",
    )


def _check_symmetries(cluster: Cluster) -> Check:
    """Symmetries of space and of equal atoms, and equal bits twice: not all networks have them."""
    atoms = Atoms(positions=cluster.positions)
    atoms.set_array("codes", cluster.species)

    def evaluate(moved: Atoms) -> Evaluation:
        image = replace(cluster, positions=moved.positions, species=moved.arrays["codes"])
        energy, forces = image.evaluate(forces=True)
        return Evaluation(energy=energy, forces=forces)

    errors = {name: check(evaluate, atoms) for name, check in symmetries_of(atoms).items()}
    broken = [name for name, error in errors.items() if error > cluster.agreement.symmetry]
    if not repeats(evaluate, atoms):
        broken.append("repeated call, bit for bit")
    worst = max(errors, key=lambda name: errors[name])
    detail = f"largest relative difference {errors[worst]:.1e}, of {worst}"
    if broken:
        detail = f"the model does not have: {', '.join(broken)}; {detail}"
    return Check("symmetries", "warn" if broken else "pass", detail)
