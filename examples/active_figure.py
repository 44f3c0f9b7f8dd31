"""The figure of the example of active learning."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

if TYPE_CHECKING:
    from active_learning import Learning

TIMESTEP = 1e-3  # ps, as in in.heating


def draw(learning: Learning, stop: float, path: Path) -> None:
    """Deviations in LAMMPS, deviations against errors, and errors by number of structures."""
    figure = Figure(figsize=(15, 4.5), layout="constrained")
    heatings, ranking, errors = figure.subplots(1, 3)
    draw_heatings(heatings, learning, stop)
    draw_ranking(ranking, learning)
    draw_errors(errors, learning)
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=100, format="png")
    os.replace(temporary, path)


def draw_heatings(axes: Axes, learning: Learning, stop: float) -> None:
    """The largest deviation over time, a line for each heating and a colour for each round."""
    for number, heatings in enumerate(learning.heatings):
        for k, heating in enumerate(heatings):
            moving = heating.records[1:]  # the first one is of the lattice, where forces are zero
            times = [TIMESTEP * record.evaluation for record in moving]
            largest = [record.largest for record in moving]
            label = f"round {number}" if k == 0 else None
            axes.semilogy(times, largest, lw=0.8, color=f"C{number}", label=label)
    axes.axhline(stop, color="0.5", ls="--", lw=1, label="LAMMPS stops")
    axes.set(
        title="LAMMPS heats the crystal",
        xlabel="time (ps)",
        ylabel="largest deviation of a force (eV/Å)",
    )
    axes.legend(fontsize="small")


def draw_ranking(axes: Axes, learning: Learning) -> None:
    """The largest error over the largest deviation, a point for each structure of the test."""
    for number in (0, len(learning.rounds) - 1):
        committee = learning.rounds[number]
        deviations, errors = committee.largest_deviations, committee.largest_errors
        rank = spearmanr(deviations, errors).statistic
        label = f"round {number}, rank correlation {rank:.2f}"
        axes.loglog(deviations, errors, ".", alpha=0.7, label=label)
    axes.axline((0.1, 0.1), (1.0, 1.0), color="0.6", lw=1)
    axes.set(
        title="The deviation ranks the errors of the test",
        xlabel="largest deviation of a force (eV/Å)",
        ylabel="largest error of a force (eV/Å)",
    )
    axes.legend(fontsize="small")


def draw_errors(axes: Axes, learning: Learning) -> None:
    """The error of the test over the number of structures."""
    for committees, style, label in (
        (learning.rounds, "o-", "chosen by the committee"),
        ([learning.rounds[0], learning.random], "s--", "random crystals"),
    ):
        counts = [committee.structures for committee in committees]
        axes.plot(counts, [committee.error for committee in committees], style, label=label)
    axes.set(
        title="Errors from the crystal to the melt",
        xlabel="training structures",
        ylabel="mean absolute error of the forces (eV/Å)",
        ylim=(0, None),
    )
    axes.legend(fontsize="small")
