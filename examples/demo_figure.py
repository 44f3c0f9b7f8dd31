"""The figure of the demonstration."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from nve import Run
from parity import Parity


def draw(parity: Parity, runs: dict[str, Run], run_folder: Path, path: Path) -> None:
    """Parity of energies and forces, learning curve, and energies over time."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    axes = figure.subplots(2, 2)
    energy, forces = parity.errors()
    draw_parity(
        axes[0, 0],
        parity.energies,
        parity.predicted_energies,
        f"Energies of unseen structures, MAE {1000 * energy:.1f} meV/atom",
        "eV/atom",
        parity.groups,
    )
    draw_parity(
        axes[0, 1],
        parity.forces.reshape(len(parity.groups), -1),
        parity.predicted_forces.reshape(len(parity.groups), -1),
        f"Forces, MAE {forces:.3f} eV/Å",
        "eV/Å",
        parity.groups,
    )
    draw_learning(axes[1, 0], run_folder)
    draw_dynamics(axes[1, 1], runs)
    figure.suptitle("ACE, trained on Stillinger-Weber silicon, in LAMMPS")
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=120, format="png")
    os.replace(temporary, path)


def draw_parity(
    axes: Axes,
    labels: NDArray[np.float64],
    predictions: NDArray[np.float64],
    title: str,
    unit: str,
    groups: NDArray[np.str_],
) -> None:
    """Predictions over labels, a color for each kind of structure."""
    axes.axline((labels.mean(), labels.mean()), slope=1, color="0.6", lw=1)
    for group in reversed(dict.fromkeys(groups.tolist())):
        some = groups == group
        axes.plot(
            labels[some].ravel(), predictions[some].ravel(), ".", ms=4, alpha=0.6, label=group
        )
    axes.set(title=title, xlabel=f"Stillinger-Weber ({unit})", ylabel=f"ACE ({unit})")
    axes.legend(fontsize="small", markerscale=2)


def draw_learning(axes: Axes, run_folder: Path) -> None:
    """Validation errors over epochs, from the CSV log of the run."""
    latest = max(run_folder.glob("logs/csv/*/metrics.csv"), key=lambda path: path.stat().st_mtime)
    with latest.open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/forces_mae"]]
    epochs = [int(row["epoch"]) + 1 for row in rows]
    for name, label, factor, color in (
        ("forces_mae", "forces, eV/Å", 1.0, "tab:orange"),
        ("energy_per_atom_mae", "energy, eV/atom", 1.0, "tab:blue"),
    ):
        values = [factor * float(row[f"val/{name}"]) for row in rows]
        axes.semilogy(epochs, values, color=color, label=label)
    axes.set(title="Training: errors of the validation", xlabel="epoch", ylabel="MAE")
    axes.legend()


def draw_dynamics(axes: Axes, runs: dict[str, Run]) -> None:
    """Potential and total energy per atom of OpenKIM's model and of the trained one."""
    native, one, two = runs["OpenKIM"], runs["1 rank"], runs["2 ranks"]
    for quantity, color in (("potential", "tab:blue"), ("total", "tab:orange")):
        for run, width, alpha, style, name in (
            (native, 4, 0.3, "-", "Stillinger-Weber"),
            (one, 1.2, 1, "-", "ACE"),
            (two, 2, 1, ":", "ACE, 2 ranks"),
        ):
            values = getattr(run, quantity) / run.atoms
            axes.plot(
                run.times,
                values,
                style,
                color=color,
                lw=width,
                alpha=alpha,
                label=f"{quantity}, {name}",
            )
    axes.set(
        title=f"NVE in LAMMPS, {native.atoms} atoms",
        xlabel="time (ps)",
        ylabel="energy (eV/atom)",
    )
    axes.legend(fontsize="small", ncols=2, loc="upper center", bbox_to_anchor=(0.5, 0.93))
