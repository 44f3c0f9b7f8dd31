"""What became of all structures: a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from torchml.data.output import written_then_renamed
from torchml.relaxation.output import Record
from torchml.relaxation.results import State

_CURVES = 200  # more lines cannot be told apart
_COLORS = {"converged": "C0", "not converged": "C1", "failed": "C3"}


def summary_table(title: str, records: Sequence[Record]) -> Table:
    """Return a table with a row for each state: number, steps, energy, force and time."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for name in ("structures", "steps\nmean", "\nmost", "energy change\neV, mean"):
        table.add_column(name, justify="right")
    table.add_column("largest force\neV/Å, worst", justify="right")
    table.add_column("time\ns, mean", justify="right")
    for state in get_args(State):
        group = [record for record in records if record["state"] == state]
        if group:
            table.add_row(state, *_figures(group))
    return table


def _figures(records: Sequence[Record]) -> list[str]:
    steps = [record["steps"] for record in records]
    known = [record for record in records if record["energies"]]
    cells = [f"{len(records):,}", f"{np.mean(steps):.1f}", f"{max(steps):,}"]
    if known:
        change = np.mean([record["energies"][-1] - record["energies"][0] for record in known])
        worst = max(record["fmaxes"][-1] for record in known)
        cells += [f"{change:.4g}", f"{worst:.3g}"]
    else:
        cells += ["", ""]
    return [*cells, f"{np.mean([record['seconds'] for record in records]):.3g}"]


def plot_relaxations(records: Sequence[Record], fmax: float, path: Path) -> None:
    """Plot energy above the last one and largest force over steps, a line for each structure.

    Args:
        records: with at least one evaluation each; of many, some are shown.
        fmax: limit to mark, eV/Å.
        path: of the PNG file.
    """
    from matplotlib.figure import Figure

    known = [record for record in records if record["energies"]]
    shown = known[:: max(1, len(known) // _CURVES)]
    if not shown:
        return
    figure = Figure(figsize=(9.2, 3.6), layout="tight")
    left, right = figure.subplots(1, 2)
    for record in shown:
        style: dict[str, Any] = {"color": _COLORS[record["state"]], "linewidth": 0.7, "alpha": 0.6}
        energies: NDArray[np.float64] = np.array(record["energies"])
        left.plot(energies - energies[-1], **style)
        right.plot(record["fmaxes"], **style)
    left.set(xlabel="step", ylabel="energy above the last (eV)")
    left.set_yscale("symlog", linthresh=1e-3)
    right.set(xlabel="step", ylabel="largest force (eV/Å)", yscale="log")
    if fmax > 0:
        right.axhline(fmax, color="0.3", linewidth=0.8, linestyle="--")
    counts = f"{len(shown)} of {len(records)} structures"
    figure.suptitle(f"{counts}: blue converged, orange not converged, red failed", fontsize=10)
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both", linewidth=0.4)
    with written_then_renamed(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
