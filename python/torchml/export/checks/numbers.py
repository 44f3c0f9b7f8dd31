"""Checks that a model passes before it is exported.

The numbers come from `torchml._core`, the code that the model driver runs inside the simulator.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import torchml._core as core
from torchml.contract.metadata import ModelMetadata
from torchml.contract.signature import SHELL_COUNTS
from torchml.errors import TorchMLError


@dataclass(frozen=True)
class Check:
    """One line of the report; `verdict` is pass, warn or fail."""

    name: str
    verdict: str
    detail: str


def failed(checks: Sequence[Check]) -> bool:
    return any(check.verdict == "fail" for check in checks)


@dataclass(frozen=True)
class _Precision:
    """What a float type allows: steps of differences (Å), relative error of results."""

    steps: tuple[float, ...]
    relative: float
    epsilon: float


_PRECISION = {
    "float64": _Precision(steps=(1e-3, 3e-4, 1e-4), relative=1e-6, epsilon=2.2e-16),
    "float32": _Precision(steps=(2e-2, 1e-2, 5e-3), relative=2e-3, epsilon=1.2e-7),
}


def check_numbers(
    folder: Path, cutoffs: npt.NDArray[Any] | None = None, device: str = "cpu"
) -> list[Check]:
    """Checks of the model in `folder` through the driver's engine; the first failure ends them.

    `cutoffs` are those of each pair of species (Å), where they are not all that of the model.
    """
    checks: list[Check] = []
    try:
        potential = core.Potential(str(folder), {}, device)
    except TorchMLError as error:
        return [Check("loads in the driver's engine", "fail", str(error))]
    checks.append(Check("loads in the driver's engine", "pass", f"on {potential.device}"))
    steps: list[Callable[[_Cluster], Check]] = [
        _check_energy,
        _check_partition,
        _check_forces,
        _check_lone_atom,
        _check_smooth,
    ]
    if cutoffs is None:
        cutoffs = np.full((len(potential.spec.species),) * 2, potential.spec.cutoff)
    cluster = _Cluster.random(potential, cutoffs)
    for step in steps:
        try:
            checks.append(step(cluster))
        except TorchMLError as error:
            name = step.__name__.removeprefix("_check_").replace("_", " ")
            checks.append(Check(name, "fail", str(error)))
        if failed(checks):
            break
    return checks


def check_parity(compiled: Path, archive: Path, device: str = "cpu") -> Check:
    """A compiled model against the TorchScript it was made of, from one atom to 150.

    The difference is relative: that of energies to the larger of the energy and 1 eV, that of
    forces to the larger of the largest force and 1 eV/Å.
    """
    potentials = [core.Potential(str(path), {}, device) for path in (compiled, archive)]
    cutoff = potentials[0].spec.cutoff
    allowed = 1e-10 if potentials[0].spec.dtype == "float64" else 1e-4
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
            _Cluster(one, np.empty(0), positions, species).evaluate(owns, forces=True)
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


@dataclass(frozen=True)
class _Cluster:
    """A non-periodic structure and the potential that is asked about it.

    Attributes:
        cutoffs: of each pair of species, float[S, S] (Å).
        positions: float[N, 3] (Å).
        species: codes, integer[N].
    """

    potential: core.Potential
    cutoffs: npt.NDArray[Any]
    positions: npt.NDArray[Any]
    species: npt.NDArray[Any]

    @property
    def precision(self) -> _Precision:
        return _PRECISION[self.potential.spec.dtype]

    @classmethod
    def random(cls, potential: core.Potential, cutoffs: npt.NDArray[Any]) -> _Cluster:
        """Atoms at random in a box 3 cutoffs long, so that its ends do not see each other.

        No two are closer than half a cutoff, and none sits where a difference step would carry
        it over a cutoff of another.
        """
        generator = np.random.default_rng(0)
        cutoff = potential.spec.cutoff
        box = np.array([3.0, 1.0, 1.0]) * cutoff
        edges = np.unique(np.append(cutoffs, cutoff))
        positions = np.empty((0, 3))
        for candidate in generator.uniform(0, 1, (2000, 3)) * box:
            r = np.linalg.norm(positions - candidate, axis=1)
            if (r > 0.5 * cutoff).all() and (np.abs(r[:, None] - edges) > 0.03 * cutoff).all():
                positions = np.vstack([positions, candidate])
            if len(positions) == 16:
                break
        species = np.arange(len(positions)) % len(potential.spec.species)
        return cls(potential, cutoffs, positions, species)

    def evaluate(
        self, contributing: npt.NDArray[Any] | None = None, *, forces: bool = False
    ) -> tuple[float, npt.NDArray[Any]]:
        """Energy (eV) and, if wanted, forces on all atoms (eV/Å)."""
        n = len(self.positions)
        r = np.linalg.norm(self.positions[:, None] - self.positions[None], axis=2)
        # The engine applies the cutoff; the list reaches beyond it, as that of a simulator.
        near = (r < self.potential.spec.cutoff * 1.2) & ~np.eye(n, dtype=bool)
        result = self.potential.evaluate(
            self.species.astype(np.int32),
            self.positions,
            np.ones(n, np.int32) if contributing is None else contributing.astype(np.int32),
            np.concatenate([[0], near.sum(1).cumsum()]).astype(np.int64),
            np.nonzero(near)[1].astype(np.int32),
            energy=True,
            forces=forces,
        )
        return result["energy"], result.get("forces", np.zeros((n, 3)))

    def energy(self, contributing: npt.NDArray[Any] | None = None) -> float:
        return self.evaluate(contributing)[0]


def _check_energy(cluster: _Cluster) -> Check:
    energy = cluster.energy()
    verdict = "pass" if math.isfinite(energy) else "fail"
    return Check("energy", verdict, f"{energy:.6g} eV for a cluster of {len(cluster.positions)}")


def _check_partition(cluster: _Cluster) -> Check:
    """Two ranks that own one half each must find the energy of one rank that owns all."""
    left = cluster.positions[:, 0] < np.median(cluster.positions[:, 0])
    whole = cluster.energy()
    parts = cluster.energy(left), cluster.energy(~left)
    error = abs(sum(parts) - whole)
    scale = max(abs(whole), *map(abs, parts))
    bad = error > 1e3 * cluster.precision.epsilon * scale + 1e-12
    hint = "; are the layers, the cutoff and the use of 'contributing' right?" if bad else ""
    return Check(
        "domain decomposition",
        "fail" if bad else "pass",
        f"energies of two halves sum to the whole within {error:.1e} eV{hint}",
    )


def _check_forces(cluster: _Cluster) -> Check:
    """Forces, on ghosts too, against a five-point difference of the energy."""
    owns = np.arange(len(cluster.positions)) % 3 != 0
    energy, forces = cluster.evaluate(owns, forces=True)
    steps = cluster.precision.steps
    generator = np.random.default_rng(1)
    worst = 0.0
    for index in generator.choice(forces.size, 12, replace=False):
        # A long step drowns the noise of rounding, a short one follows a trained model's
        # curvature; a wrong force is wrong by all of them.
        errors = [abs(_slope(cluster, owns, index, step) + forces.flat[index]) for step in steps]
        worst = max(worst, min(errors))
    largest = float(np.abs(forces).max())
    noise = 50 * cluster.precision.epsilon * abs(energy) / steps[0]
    good = worst <= cluster.precision.relative * largest + noise  # False for NaN
    detail = f"largest error {worst:.1e} eV/Å, largest force {largest:.3g} eV/Å"
    if good and largest == 0.0:
        return Check("forces", "fail", "all zero: the energy does not depend on the positions")
    return Check("forces", "pass" if good else "fail", f"finite differences: {detail}")


def _slope(cluster: _Cluster, owns: npt.NDArray[np.bool_], index: int, step: float) -> float:
    """Derivative of the energy by one coordinate (eV/Å): a five-point difference."""
    energies = {}
    for k in (-2, -1, 1, 2):
        positions = cluster.positions.copy()
        positions.flat[index] += k * step
        energies[k] = replace(cluster, positions=positions).energy(owns)
    return (energies[-2] - energies[2] + 8 * (energies[1] - energies[-1])) / (12 * step)


def _check_lone_atom(cluster: _Cluster) -> Check:
    try:
        energies = [
            replace(cluster, positions=np.zeros((1, 3)), species=np.array([code])).energy()
            for code in range(len(cluster.potential.spec.species))
        ]
    except TorchMLError as error:
        return Check("lone atom", "warn", f"an atom without neighbours stops the model: {error}")
    verdict = "pass" if all(map(math.isfinite, energies)) else "warn"
    return Check("lone atom", verdict, " ".join(f"{energy:.6g}" for energy in energies[:8]) + " eV")


def _check_smooth(cluster: _Cluster) -> Check:
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
    limit = 1e-4 + 10 * cluster.precision.epsilon * scale
    smooth = energy_jump < limit and force_jump < 1e-3
    return Check(
        "smooth at the cutoff",
        "pass" if smooth else "warn",
        f"a pair loses {energy_jump:.1e} eV and {force_jump:.1e} eV/Å there",
    )


def check_radial(
    module: torch.jit.ScriptModule, facts: ModelMetadata
) -> tuple[Check, ModelMetadata]:
    """Turn each edge vector on its own: only a function of the lengths does not notice."""
    generator = torch.Generator().manual_seed(0)
    given = facts.input_dtype or facts.dtype
    dtype = torch.float64 if given == "float64" else torch.float32
    n = 6
    pairs = torch.tensor(list(itertools.permutations(range(n), 2))).T
    lengths = torch.rand(pairs.size(1), 1, generator=generator, dtype=dtype) * 0.4 + 0.5
    lengths *= facts.cutoff or 0.0

    species = torch.arange(n) % len(facts.species or ())
    if facts.species_input == "atomic_number":
        numbers = [core.atomic_number(symbol) for symbol in facts.species or ()]
        species = torch.tensor(numbers)[species]
    arguments = [one.name for one in module.forward.schema.arguments]  # type: ignore[attr-defined]

    def energies(vectors: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        counts = {
            "node_counts": [n] * ((facts.layers or 1) + 1),
            "edge_counts": [pairs.size(1)] * (facts.layers or 1),
        }
        extra = [counts[name] for name in SHELL_COUNTS if name in arguments]
        output = module(species, vectors, pairs, torch.zeros_like(species), *extra)
        energy: torch.Tensor = output[0] if facts.returns_forces else output
        return energy.detach()

    found, rounding = [], 0.0
    for _ in range(3):
        vectors = torch.randn(pairs.size(1), 3, generator=generator, dtype=dtype)
        vectors *= lengths / vectors.norm(dim=1, keepdim=True)
        try:
            energy = energies(vectors, pairs)
        except (RuntimeError, torch.jit.Error) as error:
            reason = str(error).strip().splitlines()[-1]
            return Check("edge vectors", "fail", f"forward stops: {reason}"), facts
        rounding = torch.finfo(energy.dtype).eps * energy.double().abs().sum().item()
        found.append(energy.double().sum().item())
    # Measured by what neighbours add: energies of the atoms themselves can be thousands of eV.
    try:
        apart = energies(vectors[:0], pairs[:, :0]).double().sum().item()
    except (RuntimeError, torch.jit.Error):
        apart = 0.0
    interaction = max(abs(energy - apart) for energy in found)
    spread = max(found) - min(found)
    radial = spread <= 1e3 * _PRECISION[facts.dtype or ""].epsilon * interaction + 10 * rounding
    if facts.radial and not radial:
        detail = f"said to matter by length only, but turning them changes {spread:.1e} eV"
        return Check("edge vectors", "fail", detail), facts
    detail = "only their lengths matter" if radial else "their directions matter"
    if facts.radial is None:
        facts = replace(facts, radial=radial)
    return Check("edge vectors", "pass", detail), facts
