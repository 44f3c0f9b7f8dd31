"""How structures are evaluated: by a model of ours, many at once, or by a calculator of ASE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ase import Atoms
from ase.calculators.abc import GetPropertiesMixin

from torchml.errors import DataError, TorchMLError
from torchml.inference.calculator import Calculator
from torchml.inference.evaluation import Evaluation
from torchml.inference.many import evaluate_many
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

    def check(self, atoms: Atoms) -> None:
        """Raise DataError if the structure has elements that the model does not know."""

    def size(self, atoms: Atoms) -> int:
        """Return the number of edges, the work of an evaluation."""

    def evaluate(
        self, structures: Mapping[str, Atoms], stress: bool
    ) -> dict[str, Evaluation | str]:
        """Return energy, forces and stress of each, by id; a text says why there is no result."""


def new_evaluator(model: Model, device: str) -> Evaluator:
    """Return the evaluator of a model.

    Args:
        model: what `Potential` opens, a `Potential`, or a calculator of ASE.
        device: "cpu", "cuda" or "cuda:K", for a model that is opened here.
    """
    if isinstance(model, Calculator):
        model = model.potential
    if isinstance(model, str | Path):
        model = Potential(model, device)
    if isinstance(model, Potential):
        return PotentialEvaluator(model)
    return CalculatorEvaluator(model)


def check_volume(atoms: Atoms) -> None:
    """Raise DataError if a structure has no cell that could relax."""
    if volume_of(atoms) is None:
        raise DataError(no_volume(atoms))


class PotentialEvaluator:
    """Evaluates many structures in one call."""

    together = True

    def __init__(self, potential: Potential) -> None:
        self.name = potential.name
        self._potential = potential

    def check(self, atoms: Atoms) -> None:
        self._potential.codes(atoms)

    def size(self, atoms: Atoms) -> int:
        try:
            particles = self._potential.particles(atoms)
        except TorchMLError:
            return len(atoms)  # the evaluation will fail, and say why
        return int(particles.neighbor_offsets[particles.atoms])

    def evaluate(
        self, structures: Mapping[str, Atoms], stress: bool
    ) -> dict[str, Evaluation | str]:
        ids = list(structures)
        try:
            results = evaluate_many(self._potential, list(structures.values()), stress=stress)
        except (TorchMLError, RuntimeError) as error:
            if len(ids) == 1:
                return {ids[0]: " ".join(str(error).split())}
        else:
            return dict(zip(ids, results, strict=True))
        # One of them is the cause; the others must not suffer from it.
        found: dict[str, Evaluation | str] = {}
        for id, atoms in structures.items():
            found |= self.evaluate({id: atoms}, stress)
        return found


class CalculatorEvaluator:
    """Evaluates structures one by one with a calculator of ASE."""

    together = False

    def __init__(self, calculator: GetPropertiesMixin) -> None:
        parameters = dict(getattr(calculator, "parameters", {}))
        self.name = f"{type(calculator).__name__} {parameters or ''}".strip()
        self._calculator = calculator

    def check(self, atoms: Atoms) -> None:
        """Calculators do not say which elements they know."""

    def size(self, atoms: Atoms) -> int:
        return len(atoms)

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
