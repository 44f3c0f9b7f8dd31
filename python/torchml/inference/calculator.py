"""The ASE calculator."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import PropertyNotImplementedError, all_changes

from torchml.contract.metadata import MetadataKeywords
from torchml.errors import ModelError
from torchml.inference.potential import Potential, no_volume, volume_of

DEVIATIONS = ("energy_std", "energies_std", "forces_std", "force_deviations")


class Calculator(AseCalculator):
    """Energy, forces, stress and per-atom values of a model, for ASE.

    Units are those of ASE: eV, eV/Å, eV/Å³. Only requested properties are computed. Sums have one
    property more, `calculator.get_property("part_energies", atoms)`: energies by part (eV).

    Committees have `energy_std` (eV), `energies_std` ([atoms], eV), `forces_std` ([atoms, 3], eV/Å)
    and `force_deviations` ([atoms], eV/Å: the root of the sum over the components of the squares
    of `forces_std`), sample standard deviations over the members. They are properties like the
    others; with `deviations`, each calculation fills them in.

    Args:
        model: folder of a portable model, `.pt` or `.pt2` archive, checkpoint of a training, name
            of an installed KIM model, or a `Potential`.
        device: "cpu", "cuda" or "cuda:K".
        atoms: structure to attach the calculator to.
        label: of ASE.
        directory: of ASE.
        deviations: of a committee, compute forces and deviations in each calculation, at no further
            cost, so that they are in `results` in each step of a simulation.
        source: the package of a model of another one, as for `torchml.export_model`.
        head: with `source`, as there.
        python: with `source`, as there.
        keywords: metadata that a `.pt` archive lacks, such as `species=["Si"]`, `cutoff=4.0` (Å),
            `layers=2`, `convention="graph"`; `MetadataKeywords` lists all of them.

    Raises:
        TorchMLError: the model cannot be read, its metadata are incomplete, or a keyword
            contradicts them; or deviations are requested of a model that is no committee.
        TypeError: a keyword is unknown, or given beside a `Potential`.

    Attributes:
        potential: the model.
    """

    implemented_properties = [  # noqa: RUF012 (ASE declares it so)
        "energy",
        "free_energy",
        "forces",
        "stress",
        "energies",
        "stresses",
    ]

    def __init__(
        self,
        model: str | Path | Potential,
        device: str = "cpu",
        *,
        atoms: Atoms | None = None,
        label: str | None = None,
        directory: str | Path = ".",
        deviations: bool = False,
        source: str | None = None,
        head: str | None = None,
        python: str | Path | None = None,
        **keywords: Unpack[MetadataKeywords],
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            atoms=atoms, label=label, directory=directory
        )
        foreign = {"source": source, "head": head, "python": python}
        if not isinstance(model, Potential):
            self.potential = Potential(
                model, device, source=source, head=head, python=python, **keywords
            )
        elif given := [name for name, value in foreign.items() if value] + list(keywords):
            raise TypeError(
                f"'{given[0]}' is given beside a Potential, expected it among the "
                "arguments of the Potential"
            )
        else:
            self.potential = model
        if self.potential.parts:
            self.implemented_properties = [*self.implemented_properties, "part_energies"]
        if self.potential.spec.members:
            self.implemented_properties = [*self.implemented_properties, *DEVIATIONS]
        elif deviations:
            raise ModelError(
                f"deviations are requested, but the model '{self.potential.name}' has no members, "
                "expected a committee (python -m torchml_export --committee)"
            )
        self._always = {"forces", *DEVIATIONS} if deviations else set()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results` with the requested properties.

        Raises:
            PropertyNotImplementedError: the model or the structure does not have a property.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        structure = self.atoms
        assert structure is not None  # set by ASE at the latest here
        requested = set(properties or ["energy"]) | self._always
        self._require(requested, structure)
        evaluation = self.potential.evaluate(
            structure,
            energy=True,  # costs nothing beside the others
            forces=not requested.isdisjoint(("forces", "forces_std", "force_deviations")),
            virial="stress" in requested,
            particle_energies="energies" in requested,
            particle_virials="stresses" in requested,
            part_energies="part_energies" in requested,
            members=not requested.isdisjoint(DEVIATIONS),
        )
        self.results |= {"energy": evaluation.energy, "free_energy": evaluation.energy}
        if evaluation.forces is not None:
            self.results["forces"] = evaluation.forces
        if evaluation.particle_energies is not None:
            self.results["energies"] = evaluation.particle_energies
        if evaluation.stress is not None:
            self.results["stress"] = evaluation.stress
        if evaluation.part_energies is not None:
            self.results["part_energies"] = evaluation.part_energies
        if (members := evaluation.members) is not None:
            self.results["energy_std"] = members.energy_deviation
            self.results["energies_std"] = members.particle_energy_deviations
            if members.forces is not None:
                self.results["forces_std"] = members.force_component_deviations
                self.results["force_deviations"] = members.force_deviations
        if evaluation.particle_virials is not None:
            self.results["stresses"] = evaluation.particle_virials / structure.get_volume()

    def _require(self, requested: set[str], structure: Atoms) -> None:
        """Raise for properties that the structure or the model does not have."""
        if requested & {"stress", "stresses"} and volume_of(structure) is None:
            raise PropertyNotImplementedError(no_volume(structure))
        if "energies" in requested and self.potential.energy_kind == "total":
            raise PropertyNotImplementedError(
                f"the model '{self.potential.name}' returns only the total energy, "
                "expected one energy per atom for the property 'energies'"
            )
        if "stresses" in requested and self.potential.spec.convention != "edges":
            raise PropertyNotImplementedError(
                f"the model '{self.potential.name}' follows the convention "
                f"'{self.potential.spec.convention}', expected 'edges' for the property 'stresses'"
            )


TorchMLCalculator = Calculator
