"""A pair style of LAMMPS as a calculator of ASE."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from common.workers import Worker

WORKER = Path(__file__).with_name("lammps_worker.py")


class LammpsCalculator(Calculator):
    """Energy, forces and stress of a pair style for one element; ends with its context.

    Args:
        commands: `pair_style` and `pair_coeff`, whose last word is the element.
        folder: where LAMMPS finds files of parameters.
        python: of an environment with lammps and ase.
    """

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 (ASE declares it so)

    def __init__(self, commands: Sequence[str], folder: Path, python: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._worker = Worker(
            "LAMMPS",
            WORKER,
            [json.dumps(list(commands))],
            python,
            {"LAMMPS_POTENTIALS": str(folder)},
        )

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results` with all properties."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        assert self.atoms is not None
        self.results = self._worker.ask(
            symbols=self.atoms.get_chemical_symbols(),
            positions=self.atoms.positions.tolist(),
            cell=self.atoms.cell.tolist(),
            pbc=self.atoms.pbc.tolist(),
        )
        for name in ("forces", "stress"):
            self.results[name] = np.array(self.results[name])

    def __enter__(self) -> LammpsCalculator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._worker.__exit__(kind, error, trace)
