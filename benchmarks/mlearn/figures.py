"""The picture of errors against costs."""

from __future__ import annotations

from pathlib import Path

from common.figures import save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mlearn.published import ERRORS
from mlearn.results import Result

PUBLISHED = {"MTP": ":", "GAP": "--"}  # whose cost was not measured: lines across


def plot_frontier(results: list[Result], path: Path) -> None:
    """Draw energy errors (top) and force errors (bottom) over the cost, one column per element."""
    drawn = [r for r in results if r.errors and r.step]
    elements = list(dict.fromkeys(r.element for r in drawn))
    if not elements:
        return
    figure = Figure(figsize=(1.5 + 3.2 * len(elements), 6.0), layout="tight")
    grid = figure.subplots(2, len(elements), squeeze=False)
    names = list(dict.fromkeys(r.name for r in drawn))
    for column, element in enumerate(elements):
        for row in (0, 1):
            axes = grid[row][column]
            points = []
            for result in (r for r in drawn if r.element == element):
                assert result.errors is not None and result.step is not None
                error = result.errors.forces if row else result.errors.energy
                points.append((result.step, error))
                color = f"C{names.index(result.name) % 10}"
                axes.plot(*points[-1], "o", color=color, label=result.name, zorder=3)
            _front(axes, points)
            for name, style in PUBLISHED.items():
                if name in ERRORS.get(element, {}):
                    error = ERRORS[element][name][row]
                    axes.axhline(error, color="0.6", linestyle=style, linewidth=1, label=name)
            axes.set(xscale="log", yscale="log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_locator(NullLocator())
            axes.margins(0.15)
            axes.grid(which="major", color="0.92")
            if row == 0:
                axes.set_title(element)
            else:
                axes.set_xlabel("CPU time of a step (µs/atom)")
    grid[0][0].set_ylabel("energy MAE (meV/atom)")
    grid[1][0].set_ylabel("forces MAE (eV/Å)")
    # No element needs to have all potentials.
    handles = [axes.get_legend_handles_labels() for axes in grid[0]]
    named = {
        label: line for lines, labels in handles for line, label in zip(lines, labels, strict=True)
    }
    order = [name for name in (*names, *PUBLISHED) if name in named]
    grid[0][-1].legend(
        [named[name] for name in order],
        order,
        fontsize=7,
        frameon=False,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
    )
    save(figure, path)


def _front(axes: Axes, points: list[tuple[float, float]]) -> None:
    """Join the potentials that no other beats in both error and cost."""
    best: list[tuple[float, float]] = []
    for step, error in sorted(points):
        if not best or error < best[-1][1]:
            best.append((step, error))
    axes.plot(*zip(*best, strict=True), "-", color="0.8", drawstyle="steps-post", zorder=1)
