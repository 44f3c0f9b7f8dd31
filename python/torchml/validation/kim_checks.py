"""KIM's verification checks that concern the driver, on a model through KIM-API.

Procedures: https://openkim.org/doc/evaluation/kim-verification-checks. Periodicity, permutation,
objectivity, inversion and the continuity of dimers are those of `torchml.reference.physics`, as
KIM-API gives the results of the core on every structure.
"""

from __future__ import annotations

import itertools
import math
import resource
import threading
from collections.abc import Iterator

import kimpy
import numpy as np
from numpy.typing import NDArray

from torchml.reference.agreement import Agreement, Check, compared, difference, failure, holds
from torchml.reference.structures import bond_length
from torchml.validation.kim_client import ComputeArguments, KimModel, kim_log_explains

SEED = 13
ATOMS = 12
THREADS = 4
CYCLES = 3
UNITS_AGREE = 2e-6  # constants of KIM-API are of other years than CODATA 2018
# In Å and eV (CODATA 2018).
LENGTHS = {"nm": 10.0, "Bohr": 0.529177210903, "m": 1e10}
ENERGIES = {"kcal_mol": 4184 / 6.02214076e23 / 1.602176634e-19, "J": 1 / 1.602176634e-19}
# Letter grades of KIM: the decades by which an error exceeds 2.22e-16.
GRADES = {"A": 7.5, "B": 10.0, "C": 12.5, "D": 15.0}
MODELS = 40
MOST_GROWTH = 256.0  # KiB per model created and destroyed


def verification_checks(name: str, allowed: Agreement) -> Iterator[Check]:
    """Yield the checks of species, ghosts, derivatives, units and threads.

    Args:
        name: KIM ID of an installed model.
        allowed: the tolerances.
    """
    checks = (
        species_supported,
        ghosts_have_no_energy,
        derivative_grade,
        unit_sets,
        same_in_threads,
    )
    for check in checks:
        title = f"KIM: {check.__name__.replace('_', ' ')}"
        try:
            with kim_log_explains(name):
                yield check(title, KimModel(name), allowed)
        except Exception as error:  # what KIM-API reports, or a result that is missing
            yield failure(title, "", error)


def species_supported(title: str, model: KimModel, allowed: Agreement) -> Check:
    """All species that the model lists can be computed, alone and beside every other."""
    for pair in itertools.combinations_with_replacement(sorted(model.species), 2):
        distance = bond_length(pair)
        energy = model.compute(pair, [[0, 0, 0], [distance, 0, 0]])["energy"][0]
        if not math.isfinite(energy):
            reason = f"the energy of {'-'.join(pair)} at {distance:.2f} Å is not finite"
            return holds(title, "-".join(pair), False, reason)
    return holds(title, " ".join(model.species), True, "")


def ghosts_have_no_energy(title: str, model: KimModel, allowed: Agreement) -> Check:
    """Energies of contributing particles sum to the energy, those of ghosts are zero."""
    if not model.arguments.supports("particle_energies"):
        return Check(title, "pass", "the model has no energies of particles", "cluster")
    species, positions, contributing = _cluster(model)
    outputs = ("energy", "particle_energies")
    found = model.compute(species, positions, contributing, outputs)
    energies = found["particle_energies"]
    ghosts = energies[contributing == 0]
    error = difference(energies.sum(), found["energy"][0], len(species))
    return compared(title, "cluster", error + float(np.abs(ghosts).sum()), allowed.parity)


def derivative_grade(title: str, model: KimModel, allowed: Agreement) -> Check:
    """Forces on contributing particles and ghosts against five-point differences of the energy."""
    species, positions, contributing = _cluster(model)
    forces = model.compute(species, positions, contributing)["forces"].ravel()
    chosen = np.random.default_rng(SEED).choice(forces.size, 12, replace=False)

    def slope(index: int, step: float) -> float:
        energies = []
        for k in (-2, -1, 1, 2):
            moved = positions.copy()
            moved.flat[index] += k * step
            energies.append(model.compute(species, moved, contributing, ("energy",))["energy"][0])
        return float(energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)

    found = [
        min(abs(slope(index, step) + forces[index]) for step in allowed.slope_steps)
        for index in chosen.tolist()
    ]
    error = float(np.linalg.norm(found)) / max(float(np.linalg.norm(forces[chosen])), 1e-12)
    letter = grade(error)
    detail = f"grade {letter}, relative error {error:.1e}"
    return Check(title, "fail" if letter == "F" else "pass", detail, "cluster", error)


def grade(error: float) -> str:
    """Return KIM's letter of a relative error: A at the rounding of float64, F at any size."""
    score = math.log10(max(error, 2.22e-16) / 2.22e-16) if math.isfinite(error) else math.inf
    return next((letter for letter, limit in GRADES.items() if score <= limit), "F")


def unit_sets(title: str, model: KimModel, allowed: Agreement) -> Check:
    """Energy and forces in other units are the same."""
    species, positions, contributing = _cluster(model)
    expected = model.compute(species, positions, contributing)
    worst, where = 0.0, ""
    for (length, angstrom), (energy, ev) in itertools.product(LENGTHS.items(), ENERGIES.items()):
        units = getattr(kimpy.length_unit, length), getattr(kimpy.energy_unit, energy)
        other = KimModel(model.name, *units)
        if not other.units_accepted:
            return holds(title, f"{length}, {energy}", False, "the units are refused")
        found = other.compute(species, positions / angstrom, contributing)
        error = max(
            difference(found["energy"] * ev, expected["energy"], len(species)),
            difference(found["forces"] * ev / angstrom, expected["forces"]),
        )
        worst, where = max((worst, where), (error, f"{length}, {energy}"))
    return compared(title, where, worst, max(UNITS_AGREE, allowed.parity))


def same_in_threads(title: str, model: KimModel, allowed: Agreement) -> Check:
    """Threads, each with its own arguments of one model, compute the same bits as one thread."""
    species, positions, contributing = _cluster(model)
    jobs = [positions[: len(species) - k] for k in range(THREADS)]

    def forces(arguments: ComputeArguments, job: NDArray[np.float64]) -> NDArray[np.float64]:
        n = len(job)
        return arguments.compute(species[:n], job, contributing[:n])["forces"].copy()

    expected = [forces(model.arguments, job) for job in jobs]
    wrong: list[str] = []

    def work(index: int, arguments: ComputeArguments) -> None:
        try:
            for _ in range(CYCLES):
                if not np.array_equal(forces(arguments, jobs[index]), expected[index]):
                    wrong.append("the forces of a thread differ from those of one thread alone")
        except Exception as error:  # must reach the thread that waits
            wrong.append(str(error))

    threads = [
        threading.Thread(target=work, args=(k, ComputeArguments(model))) for k in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return holds(title, f"{THREADS} threads", not wrong, wrong[0] if wrong else "")


def check_memory(name: str) -> Check:
    """Create and destroy a model many times: its memory must be given back."""
    title = "KIM: memory of models"

    def create_and_destroy() -> float:
        with kim_log_explains(name):
            for _ in range(MODELS):
                model = KimModel(name)
                model.compute(*_cluster(model))
                del model.arguments  # which refer to the model
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    before = create_and_destroy()  # with what libraries allocate once
    growth = (create_and_destroy() - before) / MODELS
    good = growth <= MOST_GROWTH
    detail = f"{growth:.0f} KiB for each model created and destroyed"
    return Check(title, "pass" if good else "fail", detail, f"{MODELS} models")


def _cluster(model: KimModel) -> tuple[list[str], NDArray[np.float64], NDArray[np.intc]]:
    """Species, positions and flags of a random cluster, half of it ghosts, in any order."""
    rng = np.random.default_rng(SEED)
    species = [sorted(model.species)[k % len(model.species)] for k in range(ATOMS)]
    bond = 1.05 * max(bond_length([symbol]) for symbol in species)
    grid = np.array(list(itertools.product(range(3), repeat=3)), float)[:ATOMS]
    positions = bond * (grid + rng.uniform(-0.1, 0.1, grid.shape))
    contributing = np.array(rng.permutation(np.arange(ATOMS) % 2), dtype=np.intc)
    return species, positions, contributing
