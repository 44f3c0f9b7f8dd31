"""Figures: parity plots and learning curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase import units
from matplotlib.figure import Figure
from numpy.typing import NDArray

from torchml.evaluation.metrics_table import with_unit

# Of each panel of the parity plot: title, unit, factor to the unit, and metrics to quote.
PANELS: dict[str, tuple[str, str, float, tuple[str, str]]] = {
    "energy": ("energy per atom", "eV", 1.0, ("energy_per_atom_mae", "energy_per_atom_rmse")),
    "forces": ("force components", "eV/Å", 1.0, ("forces_mae", "forces_rmse")),
    "stress": ("stress components", "GPa", 1 / units.GPa, ("stress_mae", "stress_rmse")),
}


def plot_parity(
    points: Mapping[str, NDArray[np.float64]], metrics: Mapping[str, float], title: str, path: Path
) -> None:
    """Plot predictions over labels, one panel for each of energy, forces and stress with points.

    Args:
        points: label and prediction, float64[n, 2] by panel, in eV/atom, eV/Å and eV/Å³.
        metrics: errors to print above the panels, in the same units.
        title: of the figure.
        path: of the PNG file.
    """
    panels = [name for name in PANELS if len(points.get(name, ()))]
    if not panels:
        return
    figure = Figure(figsize=(4.2 * len(panels), 4.6), layout="tight")
    figure.suptitle(title, fontsize=11)
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        what, unit, factor, quoted = PANELS[name]
        label, prediction = factor * points[name].T
        low, high = label.min(), label.max()
        axes.axline((low, low), slope=1, color="0.5", linewidth=0.8, zorder=0)
        size = 14 if len(label) < 2000 else 4
        axes.scatter(label, prediction, s=size, alpha=0.5, linewidths=0)
        margin = 0.05 * (high - low) or 1.0
        axes.set(
            xlim=(low - margin, high + margin),
            ylim=(low - margin, high + margin),
            box_aspect=1,
            xlabel=f"label ({unit})",
            ylabel=f"prediction ({unit})",
        )
        errors = [
            f"{metric.rsplit('_', 1)[1].upper()} {with_unit(metric, metrics[metric])}"
            for metric in quoted
            if metric in metrics
        ]
        axes.set_title("\n".join([what, ", ".join(errors)]), fontsize=9)
    _save(figure, path)


def plot_learning_curves(logs: Sequence[Path], path: Path) -> None:
    """Plot losses and errors by epoch, from the metrics.csv of all starts of one run."""
    curves = read_curves(logs)
    panels = {
        "loss": ("train/loss", "val/loss"),
        "energy (meV/atom)": ("val/energy_per_atom_mae", "val/energy_per_atom_rmse"),
        "forces (eV/Å)": ("val/forces_mae", "val/forces_rmse"),
        "stress (GPa)": ("val/stress_mae", "val/stress_rmse"),
    }
    factors = {"energy (meV/atom)": 1e3, "stress (GPa)": 1 / units.GPa}
    shown = {name: keys for name, keys in panels.items() if any(key in curves for key in keys)}
    if not shown:
        return
    figure = Figure(figsize=(4.6 * len(shown), 3.6), layout="tight")
    for axes, (name, keys) in zip(
        figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True
    ):
        for key in keys:
            if key in curves:
                epochs, values = curves[key].T
                axes.plot(epochs, factors.get(name, 1.0) * values, label=key, linewidth=1.2)
        axes.set(xlabel="epoch", ylabel=name, yscale="log")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3, which="both", linewidth=0.4)
    _save(figure, path)


def read_curves(logs: Sequence[Path]) -> dict[str, NDArray[np.float64]]:
    """Read every logged quantity.

    Args:
        logs: metrics.csv of each start of a run; later files replace the epochs of earlier ones.

    Returns:
        float64[n, 2] by name: epoch (from 1) and value. A line that was cut when the process was
        killed is ignored.
    """
    values: dict[str, dict[float, float]] = {}
    for log in logs:
        with log.open(newline="") as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    try:
                        epoch, value = float(row["epoch"]) + 1, float(text)
                    except (TypeError, ValueError):
                        continue
                    if np.isfinite(value):
                        values.setdefault(name, {})[epoch] = value
    return {name: np.array(sorted(points.items())) for name, points in values.items()}


def _save(figure: Figure, path: Path) -> None:
    """Write the figure beside its place, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    figure.savefig(new, format="png", dpi=150)
    new.replace(path)
