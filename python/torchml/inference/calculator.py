"""The ASE calculator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import PropertyNotImplementedError, all_changes

from torchml.inference.potential import Potential


class Calculator(AseCalculator):
    """Energy, forces, stress and per-atom values of a model, for ASE.

    `model` is the folder of a portable model, a `.pt` or `.pt2` file, the name of an installed KIM
    model, or a `Potential`. Units are ASE's: eV, eV/Å, eV/Å³. Only what is asked for is computed.
    """

    implemented_properties = [  # noqa: RUF012 (ASE declares it so)
        "energy",
        "free_energy",
        "forces",
        "stress",
        "energies",
        "stresses",
    ]

    def __init__(self, model: str | Path | Potential, device: str = "cpu", **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.potential = model if isinstance(model, Potential) else Potential(model, device)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill self.results with the properties asked for."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        structure = self.atoms
        assert structure is not None  # ASE hands it over at the latest here
        wanted = set(properties or ["energy"])
        periodic = structure.pbc.any() and structure.cell.rank == 3
        if wanted & {"stress", "stresses"} and not periodic:
            raise PropertyNotImplementedError(
                f"stress was asked for a structure with pbc {structure.pbc.tolist()} and the cell "
                f"{structure.cell.tolist()}, expected a periodic one whose cell has a volume"
            )
        if "energies" in wanted and self.potential.energy_kind == "total":
            raise PropertyNotImplementedError(
                f"the model '{self.potential.name}' returns only the total energy, "
                "expected one energy per atom for the property 'energies'"
            )
        if "stresses" in wanted and self.potential.spec.convention != "edges":
            raise PropertyNotImplementedError(
                f"the model '{self.potential.name}' follows the convention "
                f"'{self.potential.spec.convention}', expected 'edges' for the property 'stresses'"
            )
        found = self.potential.evaluate(
            structure,
            energy=True,  # comes for free with anything else
            forces="forces" in wanted,
            virial="stress" in wanted,
            particle_energies="energies" in wanted,
            particle_virials="stresses" in wanted,
        )
        self.results |= {"energy": found.energy, "free_energy": found.energy}
        if found.forces is not None:
            self.results["forces"] = found.forces
        if found.particle_energies is not None:
            self.results["energies"] = found.particle_energies
        # KIM's virial is dE/dstrain in the order xx yy zz yz xz xy, which is ASE's too.
        if found.virial is not None:
            self.results["stress"] = found.virial / structure.get_volume()
        if found.particle_virials is not None:
            self.results["stresses"] = found.particle_virials / structure.get_volume()
