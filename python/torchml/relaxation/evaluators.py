"""How structures are evaluated: by a model of ours, many at once, or by a calculator of ASE."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ase import Atoms
from ase.calculators.abc import GetPropertiesMixin

from torchml.errors import DataError, StructureError
from torchml.inference.calculator import Calculator
from torchml.inference.evaluation import Evaluation
from torchml.inference.many import ManyStructures
from torchml.inference.potential import Potential, no_volume, volume_of

Model = str | Path | Potential | GetPropertiesMixin


class Evaluator(Protocol):
    """Evaluates structures.

    Attributes:
        name: of the model.
        together: whether evaluating several structures in one call is faster.
    """

    name: str
    together: bool

    def digest(self) -> str:
        """Return a text that differs for different contents of the model; empty if unknown."""

    def check(self, atoms: Atoms) -> None:
        """Raise DataError if the structure has elements that the model does not know."""

    def evaluate(
        self, structures: Mapping[str, Atoms], stress: bool
    ) -> dict[str, Evaluation | str]:
        """Return energy, forces and stress of each, by id; a text says why there is no result."""


def new_evaluator(model: Model, device: str, most_edges: int | None = None) -> Evaluator:
    """Return the evaluator of a model.

    Args:
        model: what `Potential` opens, a `Potential`, or a calculator of ASE.
        device: "cpu", "cuda" or "cuda:K", for a model that is opened here.
        most_edges: neighbours of all atoms in one call of the model.
    """
    if isinstance(model, Calculator):
        model = model.potential
    if isinstance(model, str | Path):
        model = Potential(model, device)
    if isinstance(model, Potential):
        return PotentialEvaluator(model, most_edges)
    return CalculatorEvaluator(model)


def check_volume(atoms: Atoms) -> None:
    """Raise DataError if a structure has no cell that could relax."""
    if volume_of(atoms) is None:
        raise DataError(no_volume(atoms))


class PotentialEvaluator:
    """Evaluates many structures in one call, and keeps their neighbour lists while they fit."""

    together = True

    def __init__(self, potential: Potential, most_edges: int | None = None) -> None:
        self.name = potential.name
        self._potential = potential
        self._many = ManyStructures(potential, most_edges=most_edges)

    def digest(self) -> str:
        path = Path(self.name)
        if path.is_file():  # a checkpoint becomes another archive each time it is opened
            return hashlib.sha256(path.read_bytes()).hexdigest()
        return self._potential.digest()

    def check(self, atoms: Atoms) -> None:
        self._potential.codes(atoms)

    def evaluate(
        self, structures: Mapping[str, Atoms], stress: bool
    ) -> dict[str, Evaluation | str]:
        ids = list(structures)
        results = self._many.evaluate_each(list(structures.values()), keys=ids, stress=stress)
        return {
            id: str(result).partition(": ")[2] if isinstance(result, StructureError) else result
            for id, result in zip(ids, results, strict=True)
        }


class CalculatorEvaluator:
    """Evaluates structures one by one with a calculator of ASE."""

    together = False

    def __init__(self, calculator: GetPropertiesMixin) -> None:
        parameters = dict(getattr(calculator, "parameters", {}))
        self.name = f"{type(calculator).__name__} {parameters or ''}".strip()
        self._calculator = calculator

    def digest(self) -> str:
        return ""

    def check(self, atoms: Atoms) -> None:
        """Calculators do not say which elements they know."""

    def evaluate(
        self, structures: Mapping[str, Atoms], stress: bool
    ) -> dict[str, Evaluation | str]:
        return {id: self._evaluate(atoms, stress) for id, atoms in structures.items()}

    def _evaluate(self, atoms: Atoms, stress: bool) -> Evaluation | str:
        calculator = self._calculator
        try:
            energy = calculator.get_potential_energy(atoms)
            forces = calculator.get_forces(atoms)
            tensor = calculator.get_stress(atoms) if stress else None
        # Calculators raise whatever they run into.
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
        # The energy whose derivative the forces are, where it differs (smeared electrons).
        energy = getattr(calculator, "results", {}).get("free_energy", energy)
        return Evaluation(energy=float(energy), forces=forces, stress=tensor)
