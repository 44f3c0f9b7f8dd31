"""The interfaces to a model, each of which evaluates a structure, and what they must agree in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ase import Atoms

from torchml.inference.evaluation import Evaluation
from torchml.inference.files import model_files
from torchml.inference.potential import Potential
from torchml.models import EdgeModel
from torchml.models.staged import StagedModel
from torchml.reference.agreement import Check, compared, difference
from torchml.reference.model import EagerModel, ReferenceModel
from torchml.reference.physics.evaluating import Evaluate
from torchml.validation.kim_client import KimModel, kim_log_explains
from torchml.validation.lammps import evaluate_with_lammps

# Ranks of LAMMPS, and how they divide the box.
GRIDS: dict[int, tuple[str, ...]] = {
    1: ("1 1 1",),
    2: ("2 1 1", "1 1 2"),
    4: ("4 1 1", "1 2 2"),
}


class Interfaces:
    """A model in Python, in the C++ core, in KIM-API, ASE and LAMMPS.

    Args:
        model: archive or folder of the model.
        name: its name in a KIM collection.
        trained: the model of a checkpoint in Python, before scripting.
        device: of C++, KIM and LAMMPS.

    Attributes:
        potential: the model in the C++ core.
    """

    def __init__(
        self,
        model: str | Path,
        name: str,
        trained: EdgeModel | StagedModel | None = None,
        device: str = "cpu",
    ) -> None:
        self.potential = Potential(model, device)
        self._name = name
        with model_files(model) as path:
            reference = ReferenceModel(path, self.potential.spec)
        self.evaluators: dict[str, Evaluate] = {
            reference.form: reference.evaluate,
            "KIM": self._kim,
            "ASE": self._ase,
        }
        if trained is not None:
            self.evaluators["eager"] = EagerModel(trained, self.potential.spec).evaluate

    def core(self, atoms: Atoms) -> Evaluation:
        """Evaluate in the C++ core everything that the model supports."""
        return self.potential.evaluate(
            atoms,
            virial=True,
            particle_energies=self.potential.energy_kind != "total",
            particle_virials=self.potential.spec.convention == "edges",
        )

    def physics(self, atoms: Atoms) -> Evaluation:
        """Evaluate energy, forces and virial in the C++ core."""
        return self.potential.evaluate(atoms, virial=True)

    def lammps(
        self, ranks: int, structures: Mapping[str, Atoms], expected: Mapping[str, Evaluation]
    ) -> list[tuple[str, str, Evaluation]]:
        """Evaluate structures in LAMMPS, with each division of the box among so many ranks.

        Returns:
            Name of the interface, name of the structure, evaluation.
        """
        first = next(iter(expected.values()))
        runs = [(grid, structure) for grid in GRIDS[ranks] for structure in expected]
        results = evaluate_with_lammps(
            self._name,
            [structures[structure] for _, structure in runs],
            list(self.potential.spec.species),
            ranks=ranks,
            grids=[grid for grid, _ in runs],
            particle_energies=first.particle_energies is not None,
            particle_virials=first.particle_virials is not None,
        )
        return [
            (lammps_name(ranks, grid), structure, found)
            for (grid, structure), found in zip(runs, results, strict=True)
        ]

    def _kim(self, atoms: Atoms) -> Evaluation:
        with kim_log_explains(self._name):
            return KimModel(self._name).evaluate(atoms)

    def _ase(self, atoms: Atoms) -> Evaluation:
        from ase.calculators.kim import KIM  # looks for KIM-API when imported

        with kim_log_explains(self._name):
            atoms = atoms.copy()
            atoms.calc = KIM(self._name)
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            virial = atoms.get_stress() * atoms.get_volume() if atoms.pbc.all() else None
        return Evaluation(energy=energy, forces=forces, virial=virial)


def lammps_name(ranks: int, grid: str = "") -> str:
    """Return the name of LAMMPS on so many ranks, or on their grid."""
    divided = grid.replace(" ", "x") if ranks > 1 else ""
    return f"LAMMPS {divided}" if divided else f"LAMMPS {ranks} rank{'s' * (ranks > 1)}"


def compare(
    client: str, structure: str, evaluation: Evaluation, expected: Evaluation, tolerance: float
) -> list[Check]:
    """Return one check per quantity that both evaluations contain."""
    assert expected.forces is not None
    atoms = len(expected.forces)
    quantities: Sequence[tuple[str, int]] = (
        ("energy", atoms),
        ("forces", 1),
        ("virial", atoms),
        ("particle_energies", 1),
    )
    checks = []
    for quantity, sums in quantities:
        value, wanted = getattr(evaluation, quantity), getattr(expected, quantity)
        if value is not None and wanted is not None:
            name = f"{client}: {quantity.replace('particle', 'atomic').replace('_', ' ')}"
            checks.append(compared(name, structure, difference(value, wanted, sums), tolerance))
    if evaluation.particle_virials is not None and expected.virial is not None:
        relative = difference(evaluation.particle_virials.sum(axis=0), expected.virial, atoms)
        checks.append(compared(f"{client}: atomic virials", structure, relative, tolerance))
    return checks
