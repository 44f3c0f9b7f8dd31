"""Draw evaluation.svg, layers.svg and export.svg of docs/architecture.md.

python docs/figures/make_architecture.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.rcParams |= {"svg.hashsalt": "torchml", "font.size": 9, "svg.fonttype": "path"}

HERE = Path(__file__).parent
BLUE, GREEN, ORANGE, GREY = "#dbe9f6", "#e2f0d9", "#fbe5d0", "#eeeeee"


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with axes in inches."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(axes: Axes, x: float, y: float, width: float, height: float, text: str, color: str) -> None:
    """A rectangle with its lower left corner at x, y and a text in its middle."""
    rectangle = matplotlib.patches.FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06", fc=color, ec="#555555"
    )
    axes.add_patch(rectangle)
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", linespacing=1.4)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": "#333333", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)


def number(axes: Axes, x: float, y: float, text: str) -> None:
    axes.text(
        x, y, text, ha="center", va="center", color="white", fontsize=8, fontweight="bold",
        bbox={"boxstyle": "circle,pad=0.25", "fc": "#1f4e79", "ec": "none"},
    )  # fmt: skip


def draw_evaluation() -> Figure:
    """The ten steps of one evaluation, from positions to forces."""
    figure, axes = canvas(8.4, 6.3)
    box(axes, 0.3, 5.5, 2.3, 0.55, "LAMMPS, GULP, ASE, ...\nthrough KIM-API", GREY)
    box(axes, 5.8, 5.5, 2.3, 0.55, "Calculator, Potential\n(Python)", GREY)
    box(axes, 0.3, 4.45, 2.3, 0.6, "driver/kim\nunits, pointers", BLUE)
    box(axes, 5.8, 4.45, 2.3, 0.6, "python/bindings\nnumpy arrays", BLUE)
    box(axes, 3.1, 4.45, 2.2, 0.6, "System, Request", GREEN)
    arrow(axes, (1.45, 5.5), (1.45, 5.05))
    arrow(axes, (6.95, 5.5), (6.95, 5.05))
    arrow(axes, (2.6, 4.75), (3.1, 4.75))
    arrow(axes, (5.8, 4.75), (5.3, 4.75))
    number(axes, 1.7, 5.28, "1")
    number(axes, 2.85, 4.97, "2")

    steps = [
        ("3", "check species and coordinates", GREEN),
        ("4", "neighbour lists within the cutoff, kept while valid", GREEN),
        ("5", "ghosts that are images: fold onto their atoms", GREEN),
        ("6", "nodes and edges sorted by shell", GREEN),
        ("7", "tensors for raw, descriptor, graph or edges", GREEN),
        ("8", "forward: TorchScript or AOTInductor", ORANGE),
        ("9", "energy; its derivative by autograd, if requested", GREEN),
        ("10", "derivative to forces, virials and dE/dr terms", GREEN),
    ]
    top, height, gap = 4.05, 0.34, 0.13
    for row, (label, text, color) in enumerate(steps):
        y = top - height - row * (height + gap)
        box(axes, 2.0, y, 4.4, height, text, color)
        number(axes, 2.23, y + height / 2, label)
        if row:
            arrow(axes, (4.2, y + height + gap), (4.2, y + height))
    arrow(axes, (4.2, 4.45), (4.2, top))
    bottom = top - len(steps) * (height + gap) + gap
    middle = bottom + height / 2
    # Results return to the caller in its own units.
    for x, side, edge in ((0.75, 2.0, "LAMMPS"), (7.65, 6.4, "Python")):
        axes.plot([side, x], [middle, middle], color="#333333", lw=1)
        arrow(axes, (x, middle), (x, 4.45))
        axes.text(
            x + (-0.12 if edge == "LAMMPS" else 0.12), 2.4, "Result: energy, forces, virials",
            rotation=90, ha="center", va="center",
        )  # fmt: skip
    return figure


def draw_layers() -> Figure:
    """The layers of C++ and Python; an upper one may use every lower one."""
    figure, axes = canvas(8.4, 5.4)
    axes.text(1.75, 5.15, "C++", ha="center", fontweight="bold")
    axes.text(5.85, 5.15, "Python", ha="center", fontweight="bold")

    box(axes, 0.3, 4.2, 1.35, 0.7, "driver/kim\n(KIM-API)", BLUE)
    box(axes, 1.85, 4.2, 1.35, 0.7, "python/bindings\n(pybind11)", BLUE)
    box(axes, 0.3, 2.9, 2.9, 0.8, "driver/core\n(libtorch)", GREEN)
    box(axes, 0.3, 1.6, 2.9, 0.8, "descriptor", ORANGE)
    box(axes, 0.3, 0.3, 2.9, 0.8, "common", GREY)
    for x, start, end in (
        (0.97, 4.2, 3.7), (2.52, 4.2, 3.7), (1.75, 2.9, 2.4), (1.75, 1.6, 1.1),
    ):  # fmt: skip
        arrow(axes, (x, start), (x, end))

    rows = [
        (("cli", "compat"), BLUE),
        (("validation",), BLUE),
        (("training", "export"), BLUE),
        (("relaxation",), GREEN),
        (("evaluation",), GREEN),
        (("reference",), GREEN),
        (("importers",), GREEN),
        (("models",), GREEN),
        (("descriptors", "data"), ORANGE),
        (("inference",), ORANGE),
        (("contract", "kim", "neighbors"), GREY),
        (("errors, lazy, termination, voigt",), GREY),
    ]
    height, gap, left, width = 0.29, 0.115, 3.9, 4.0
    for row, (names, color) in enumerate(rows):
        y = 4.9 - height - row * (height + gap)
        part = (width - 0.1 * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            box(axes, left + column * (part + 0.1), y, part, height, name, color)
        if row:
            arrow(axes, (left + width / 2, y + height + gap), (left + width / 2, y + height))
    # Python reaches the engine through the bindings.
    arrow(axes, (left, 4.9 - height / 2 - 9 * (height + gap)), (3.25, 4.25))
    return figure


def draw_export() -> Figure:
    """The stages of one export, with the numbers of their stops and their files."""
    stages = [
        ("load", "5, 6", "importers/opening\nimporters/checkpoint", GREEN),
        ("prepare", "8 - 11", "export/prepare\nmodels/scripting", GREEN),
        ("write", "12", "export/pipeline\n(scratch folder)", GREEN),
        ("check", "13 - 16", "export/checks/engine", ORANGE),
        ("rename", "17, 18", "kim/portable_models", BLUE),
        ("install", "19", "kim/collections", BLUE),
    ]
    figure, axes = canvas(9.6, 2.2)
    width, gap = 1.36, 0.2
    box(
        axes,
        0.2,
        1.6,
        9.6 - 0.4,
        0.42,
        "cli, export/command, export/pipeline: stops 1 - 4, 7",
        GREY,
    )
    for column, (name, stops, files, color) in enumerate(stages):
        x = 0.2 + column * (width + gap) + 0.02
        box(axes, x, 0.7, width, 0.6, f"{name}\nstop {stops}", color)
        axes.text(x + width / 2, 0.57, files, ha="center", va="top", fontsize=8, linespacing=1.4)
        if column:
            arrow(axes, (x - gap, 1.0), (x, 1.0))
    arrow(axes, (0.9, 1.6), (0.9, 1.3))
    return figure


def main() -> None:
    figures = {"evaluation": draw_evaluation(), "layers": draw_layers(), "export": draw_export()}
    for name, figure in figures.items():
        figure.savefig(HERE / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
