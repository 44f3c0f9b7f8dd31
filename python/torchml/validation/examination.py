"""The examination of a model: all interfaces, all physics, in an order of steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path

from ase import Atoms
from rich.progress import Progress

from torchml.errors import TorchMLError
from torchml.inference.evaluation import Evaluation
from torchml.models import EdgeModel
from torchml.models.staged import StagedModel
from torchml.reference.agreement import Agreement, Check, agreement, failure
from torchml.reference.physics import clusters, solids
from torchml.reference.structures import default_structures
from torchml.validation.installing import environment
from torchml.validation.interfaces import GRIDS, Interfaces, compare, lammps_name
from torchml.validation.kim_checks import check_memory, verification_checks
from torchml.validation.properties import (
    atoms_alone,
    crystal_checks,
    drift_check,
    structure_checks,
)
from torchml.validation.results import Examination

Step = Callable[[], Iterable[Check]]

QUICK_STRUCTURES = ("triclinic", "cluster", "lone atom", "mixed species")
PROPERTY_TESTS = (
    "OpenKIM's property tests are not part of this examination: they need kimvv and AFLOW."
)


class Depth(StrEnum):
    """How much is examined: seconds, a minute, or up to hours."""

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"

    @property
    def species(self) -> int:
        """Most species of which pairs, trimers and crystals are examined."""
        return {"quick": 1, "standard": 3, "full": 100}[self]


def examine(
    model: str | Path,
    name: str,
    *,
    trained: EdgeModel | StagedModel | None = None,
    structures: Mapping[str, Atoms] | None = None,
    device: str = "cpu",
    lammps: bool = True,
    depth: Depth = Depth.STANDARD,
    progress: Progress | None = None,
) -> Examination:
    """Compare all interfaces to a model with the C++ core, and check its physics.

    Args:
        model: archive or folder of the model.
        name: its name in a KIM collection.
        trained: the model of a checkpoint in Python, before scripting; compared too.
        structures: structures by name; small default ones if None.
        device: "cpu", "cuda" or "cuda:K", of C++, KIM and LAMMPS.
        lammps: compare LAMMPS too, except in a quick examination.
        depth: how much is examined.
        progress: shows the steps.
    """
    begin = time.monotonic()
    interfaces = Interfaces(model, name, trained, device)
    spec = interfaces.potential.spec
    if structures is None:
        structures = default_structures(spec.species, spec.cutoff)
        if depth is Depth.QUICK:
            structures = {key: structures[key] for key in QUICK_STRUCTURES if key in structures}
    facts = {
        "species": " ".join(spec.species),
        "cutoff": f"{spec.cutoff:g} Å",
        "influence distance": f"{spec.influence_distance:g} Å",
        "convention": spec.convention,
        "float type": spec.dtype,
    }
    found = Examination(name, device, depth, facts)
    if depth is Depth.FULL:
        found.notes.append(PROPERTY_TESTS)
    if depth is Depth.QUICK:
        found.notes.append("Quick: without LAMMPS, crystals and KIM's verification checks.")
    elif not lammps:
        found.notes.append("LAMMPS was left out on request.")
    steps = _Steps(interfaces, name, structures, found, agreement(spec.dtype), depth)
    plan = steps.plan(lammps and depth is not Depth.QUICK)
    progress = progress or Progress(disable=True)
    task = progress.add_task("", total=len(plan))
    with environment(KIM_MODEL_EXECUTION_DEVICE=device):
        for what, step in plan:
            progress.update(task, advance=1, description=what)
            try:
                found.checks += step()
            except TorchMLError as error:
                found.checks.append(failure(what, "", error))
    progress.update(task, completed=len(plan), description="done")
    found.seconds = time.monotonic() - begin
    return found


class _Steps:
    """The steps of an examination; later ones use the results of the core."""

    def __init__(
        self,
        interfaces: Interfaces,
        name: str,
        structures: Mapping[str, Atoms],
        found: Examination,
        allowed: Agreement,
        depth: Depth,
    ) -> None:
        self.interfaces, self.name, self.structures = interfaces, name, structures
        self.found, self.allowed, self.depth = found, allowed, depth
        self.expected: dict[str, Evaluation] = {}
        self.crystals: list[solids.Crystal] = []

    def plan(self, lammps: bool) -> list[tuple[str, Step]]:
        """Names and functions of the steps, in their order."""
        steps: list[tuple[str, Step]] = []
        for structure in self.structures:
            steps.append((f"C++ core: {structure}", partial(self.core, structure)))
        for structure in self.structures:
            for client in self.interfaces.evaluators:
                what = f"{client}: {structure}"
                steps.append((what, partial(self.interface, client, structure)))
        for ranks in GRIDS if lammps else ():
            steps.append((lammps_name(ranks), partial(self.lammps, ranks)))
        for structure in self.structures:
            what = f"derivatives and symmetries: {structure}"
            steps.append((what, partial(self.physics, structure)))
        steps.append(("isolated atoms", self.isolated))
        steps.append(("curves of two and three atoms", self.clusters))
        if self.depth is not Depth.QUICK:
            steps.append(("crystals", self.solids))
            steps.append(("KIM's verification checks", self.verification))
        if self.depth is Depth.FULL:
            steps.append(("memory of KIM models", lambda: [check_memory(self.name)]))
            steps.append(("constant energy", self.dynamics))
        return steps

    def core(self, structure: str) -> list[Check]:
        """Evaluate a structure in the core, with which all interfaces are compared."""
        try:
            self.expected[structure] = self.interfaces.core(self.structures[structure])
        except TorchMLError as error:
            return [failure("C++ core", structure, error)]
        return []

    def interface(self, client: str, structure: str) -> list[Check]:
        """Compare an interface on a structure with the core."""
        if structure not in self.expected:
            return []
        try:
            found = self.interfaces.evaluators[client](self.structures[structure])
        except Exception as error:  # any failure of an interface is a failed check
            return [failure(client, structure, error)]
        return compare(client, structure, found, self.expected[structure], self.allowed.parity)

    def lammps(self, ranks: int) -> list[Check]:
        """Compare LAMMPS on so many ranks with the core."""
        if not self.expected:
            return [failure(lammps_name(ranks), "", "the C++ core evaluated no structure")]
        checks = []
        for client, structure, found in self.interfaces.lammps(
            ranks, self.structures, self.expected
        ):
            expected = self.expected[structure]
            checks += compare(client, structure, found, expected, self.allowed.parity)
        return checks

    def physics(self, structure: str) -> Iterable[Check]:
        """Check derivatives, symmetries and repeated calls on a structure."""
        if structure not in self.expected:
            return []
        is_cpu = self.interfaces.potential.device == "cpu"  # GPUs sum in any order
        atoms = self.structures[structure]
        evaluate = self.interfaces.physics
        return structure_checks(evaluate, structure, atoms, self.allowed, repeated=is_cpu)

    def isolated(self) -> list[Check]:
        """Check atoms without neighbours."""
        spec = self.interfaces.potential.spec
        check, figures = atoms_alone(
            self.interfaces.physics, spec.species, spec.influence_distance, self.allowed
        )
        self.found.figures |= figures
        return [check]

    def clusters(self) -> list[Check]:
        """Check curves of two and three atoms."""
        spec, evaluate = self.interfaces.potential.spec, self.interfaces.physics
        epsilon, checks = self.allowed.epsilon, []
        species = spec.species[: self.depth.species]
        for pair in clusters.pairs_of(species, self.depth.species**2):
            dimer = clusters.dimer_curve(evaluate, pair, spec.cutoff, epsilon)
            close, more = clusters.towards_zero(evaluate, pair)
            checks += [dimer.check(), *more]
            self.found.curves += [dimer, close]
        for symbol in species:
            three = (spec.species[0], symbol, species[-1])
            trimer = clusters.trimer_curve(evaluate, three, spec.cutoff, epsilon)
            checks.append(trimer.check())
            self.found.curves.append(trimer)
        return checks

    def solids(self) -> list[Check]:
        """Check equations of state and elastic constants."""
        evaluate = self.interfaces.physics
        species = self.interfaces.potential.spec.species
        self.crystals = solids.lowest_crystals(evaluate, species, self.depth.species)
        checks = []
        for crystal in self.crystals:
            curve = solids.equation_of_state(evaluate, crystal, self.allowed.epsilon)
            self.found.curves.append(curve)
            checks.append(curve.check())
            if crystal.is_lowest:
                more, figures = crystal_checks(evaluate, crystal, self.allowed)
                checks += more
                self.found.figures |= figures
            else:
                self.found.notes.append(
                    f"{crystal.name}: the energy has no minimum between 0.85 and 1.45 bonds, so "
                    "elastic constants were not computed."
                )
        return checks

    def verification(self) -> list[Check]:
        """Run KIM's verification checks."""
        return list(verification_checks(self.name, self.allowed))

    def dynamics(self) -> list[Check]:
        """Check the drift of the energy at constant energy."""
        check, figures, curve = drift_check(self.interfaces.physics, self.crystals[0], self.allowed)
        self.found.figures |= figures
        self.found.curves.append(curve)
        return [check]
