"""The figure of the example of active learning."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def draw(rounds: Sequence[Any], random: Any, path: Path) -> None:
    """Force errors by number of structures, and deviations in LAMMPS by round."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = [one.structures for one in rounds]
    left.plot(counts, [one.error for one in rounds], "o-", label="chosen by the committee")
    left.plot([random.structures], [random.error], "s", label="displaced crystals")
    left.set(xlabel="structures", ylabel="mean force error (eV/Å)", ylim=(0, None))
    left.set_title("Errors on dynamics with the true potential")
    left.legend()
    for number, one in enumerate(rounds):
        if one.records:
            steps = [record.evaluation for record in one.records]
            values = [record.largest for record in one.records]
            right.semilogy(steps, values, label=f"round {number}")
    right.set(xlabel="step of LAMMPS, 300 K to 2500 K", ylabel="largest deviation (eV/Å)")
    right.set_title("Where the members differ")
    right.legend()
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=120, format="png")
    os.replace(temporary, path)
