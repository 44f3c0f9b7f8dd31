"""What was measured, as tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from common.sheets import Sheet

from mlearn.dynamics import STEP, Drift
from mlearn.errors import Errors
from mlearn.properties import Properties
from mlearn.published import DFT, ERRORS

YARDSTICK = "qSNAP"


@dataclass
class Result:
    """Of one potential for one element.

    Attributes:
        name: of the potential.
        element: chemical symbol.
        edges: neighbours of an atom within the cutoff, on average.
        errors: on the test set.
        steps: CPU time of a step in each round, µs per atom.
        properties: None where they were not asked for, or cannot be had.
        drift: the same.
        minutes: CPU time of the fit or training, if it was part of the run.
        failures: reasons why a part is missing, by part.
    """

    name: str
    element: str
    edges: float = 0.0
    errors: Errors | None = None
    steps: list[float] = field(default_factory=list)
    properties: Properties | None = None
    drift: Drift | None = None
    minutes: float | None = None
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def step(self) -> float | None:
        """Median of the rounds, µs per atom."""
        return float(np.median(self.steps)) if self.steps else None

    def record(self) -> dict[str, Any]:
        """Return everything for a file."""
        return {**asdict(self), "step": self.step}


def sheets(results: list[Result], picoseconds: float, drift_atoms: dict[str, int]) -> list[Sheet]:
    """Return the tables that have rows."""
    every = [cost_sheet(results), properties_sheet(results)]
    every.append(drift_sheet(results, picoseconds, drift_atoms))
    return [sheet for sheet in every if sheet.rows]


def cost_sheet(results: list[Result]) -> Sheet:
    """Errors beside the cost of a step."""
    sheet = Sheet(
        "Errors on the test set, and the cost of a step at about 1,000 atoms",
        ["", "potential"],
        ["E MAE", "RMSE", "F MAE", "RMSE", "edges", "µs/atom", f"{YARDSTICK}/it", "minutes"],
        "E: energy, meV/atom; F: components of forces, eV/Å. µs/atom: CPU time of a step of LAMMPS "
        "on one core, user and system, median of the rounds. MTP, GAP: as published, without cost. "
        "minutes: CPU time of the fit or training, if it was part of the run.",
    )
    for element in _elements(results):
        of_element = [r for r in results if r.element == element]
        yardstick = next((r.step for r in of_element if r.name == YARDSTICK), None)
        for name in ("MTP", "GAP"):
            if name in ERRORS.get(element, {}):
                energy, forces = ERRORS[element][name]
                cells = [f"{energy:.2f}", "", f"{forces:.2f}", *[""] * 5]
                sheet.rows.append([element, name, *cells])
        for result in of_element:
            sheet.rows.append([element, result.name, *_cost_cells(result, yardstick)])
    return sheet


def _cost_cells(result: Result, yardstick: float | None) -> list[str]:
    cells = ["", "", "", ""]
    if result.errors:
        e = result.errors
        cells = [f"{e.energy:.2f}", f"{e.energy_rms:.2f}", f"{e.forces:.4f}", f"{e.forces_rms:.4f}"]
    cells.append(f"{result.edges:.1f}" if result.edges else "")
    step = result.step
    cells.append(f"{step:.1f}" if step else "")
    cells.append(f"{yardstick / step:.2f}" if step and yardstick else "")
    cells.append(f"{result.minutes:.2g}" if result.minutes else "")
    return cells


def properties_sheet(results: list[Result]) -> Sheet:
    """Properties beside those of DFT."""
    sheet = Sheet(
        "Properties",
        ["", "potential"],
        ["a/Å", "C11/GPa", "C12", "C44", "vacancy/eV"],
        "DFT: Y. Zuo et al., J. Phys. Chem. A 124, 731 (2020). vacancy: formation energy, atoms "
        "relaxed in a fixed cell.",
    )
    for element in _elements(results):
        rows = [r for r in results if r.element == element and r.properties]
        if rows and element in DFT:
            sheet.rows.append([element, "DFT", *_property_cells(Properties(*DFT[element]))])
        for result in rows:
            assert result.properties is not None
            sheet.rows.append([element, result.name, *_property_cells(result.properties)])
    return sheet


def _property_cells(p: Properties) -> list[str]:
    return [f"{p.a:.3f}", f"{p.c11:.0f}", f"{p.c12:.0f}", f"{p.c44:.0f}", f"{p.vacancy:.2f}"]


def drift_sheet(results: list[Result], picoseconds: float, atoms: dict[str, int]) -> Sheet:
    """Drift of the energy."""
    sheet = Sheet(
        f"Energy in {picoseconds:g} ps at constant energy, steps of {1e3 * STEP:g} fs",
        ["", "potential"],
        ["atoms", "drift", "spread", "T/K"],
        "drift: slope of a straight line, meV/atom/ps; spread: standard deviation from it, "
        "meV/atom.",
    )
    for result in results:
        if d := result.drift:
            cells = [str(atoms[result.element]), f"{d.slope:.1e}", f"{d.spread:.3f}"]
            sheet.rows.append([result.element, result.name, *cells, f"{d.temperature:.0f}"])
    return sheet


def _elements(results: Iterable[Result]) -> list[str]:
    return list(dict.fromkeys(result.element for result in results))
