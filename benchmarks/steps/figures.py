"""Figures of the step times."""

from __future__ import annotations

from pathlib import Path

from common.figures import save
from matplotlib.figure import Figure

from steps.runs import Case
from steps.tables import Limits, Results
from steps.variants import VARIANTS


def sizes_of(results: Results, key: str) -> list[int]:
    """At which a variant was measured on one core."""
    return sorted(c.atoms for c in results if c.variant == key and c.layout == "1x1")


def plot_step_times(results: Results, limits: Limits, path: Path) -> None:
    """Step time over atoms, one line for each variant, and the limits of the arithmetic."""
    figure = Figure(figsize=(8.5, 5.0), layout="tight")
    axes = figure.subplots()
    styles = {"original": "s-", "ase": "^--", "ours": "o-"}
    drawn = 0
    for key, variant in VARIANTS.items():
        sizes = sizes_of(results, key)
        if len(sizes) < 2 or not variant.folding:
            continue
        steps = [results[Case(key, atoms)].step for atoms in sizes]
        axes.plot(
            sizes,
            steps,
            "D:" if variant.compressed else styles[variant.program],
            color=f"C{drawn % 10}",
            label=variant.name.replace("`", ""),
            markersize=4,
            linewidth=1,
        )
        drawn += 1
    for key, line in (("ts64", "-"), ("ts32", ":")):
        sizes = sorted(atoms for variant, atoms in limits if variant == key)
        if len(sizes) > 1:
            dtype = VARIANTS[key].dtype[-2:]
            values = [limits[key, atoms].step for atoms in sizes]
            axes.plot(sizes, values, line, color="0.6", label=f"arithmetic limit f{dtype}")
    axes.set(xscale="log", yscale="log", xlabel="atoms", ylabel="CPU time of a step (ms)")
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.grid(which="major", color="0.9")
    save(figure, path)


def plot_ghosts(results: Results, path: Path) -> None:
    """What ghosts cost: step time over that of the same model folded, and folded over ASE's."""
    figure = Figure(figsize=(6.0, 4.2), layout="tight")
    axes = figure.subplots()
    for number, (key, variant) in enumerate(VARIANTS.items()):
        other = key.removesuffix("-ghosts")
        if variant.folding:
            continue
        sizes = [n for n in sizes_of(results, key) if Case(other, n) in results]
        if not sizes:
            continue
        costs = [results[Case(key, n)].step / results[Case(other, n)].step for n in sizes]
        axes.plot(sizes, costs, "o-", color=f"C{number % 10}", label=variant.name, linewidth=1)
    for bits, color in (("64", "0.2"), ("32", "0.6")):
        ours, peer = f"aoti{bits}", f"ase-aoti{bits}"
        sizes = [n for n in sizes_of(results, ours) if Case(peer, n) in results]
        if sizes:
            costs = [results[Case(ours, n)].step / results[Case(peer, n)].step for n in sizes]
            label = f"AOTInductor f{bits} folded, over ASE without ghosts"
            axes.plot(sizes, costs, "^--", color=color, label=label, linewidth=1)
    axes.axhline(1.0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xscale="log", xlabel="atoms", ylabel="step time over that without ghosts")
    axes.legend(fontsize=7, frameon=False)
    save(figure, path)
