"""Tables of the measurements."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from common.sheets import Sheet

from steps.limit import Limit
from steps.runs import Case, Times
from steps.variants import VARIANTS

Results = Mapping[Case, Times]
Limits = Mapping[tuple[str, int], Limit]  # by variant and atoms

TARGETS = {64: 10.0, 1000: 3.0}  # largest time of a step outside the model, %


def sheets(results: Results, limits: Limits) -> list[Sheet]:
    """Return all tables with measurements."""
    sizes = sorted({case.atoms for case in results if case.layout == "1x1"})
    every = [size_sheet(results, limits, atoms) for atoms in sizes]
    every += [per_atom_sheet(results), layout_sheet(results)]
    return [sheet for sheet in every if sheet.rows]


def size_sheet(results: Results, limits: Limits, atoms: int) -> Sheet:
    """All variants at one size on one core."""
    sheet = Sheet(
        f"{atoms:,} atoms, one core",
        ["variant"],
        ["ms", "± ", "wall", "original", "ASE", "limit", "ms/limit", "beyond %", "MiB"],
        "ms: CPU time of a step, median, ± half the interquartile range; wall: shortest by the "
        "clock. original and ASE: their time (ASE with AOTInductor of the same float type) over "
        "this one. limit: the network's arithmetic without ghosts. beyond: what a step takes "
        "beyond the calls of the model, % of these. MiB: peak of resident memory.",
    )
    original = results.get(Case("original", atoms))
    for key, variant in VARIANTS.items():
        times = results.get(Case(key, atoms))
        if times is None:
            continue
        peer = results.get(Case(f"ase-aoti{variant.dtype[-2:]}", atoms))
        low, high = np.percentile(times.cpu, [25, 75])
        limit = limits[key, atoms].step
        sheet.rows.append(
            [
                variant.name,
                digits(times.step),
                digits((high - low) / 2),
                digits(min(times.wall)),
                ratio(original, times),
                ratio(peer, times),
                digits(limit),
                digits(times.step / limit),
                "" if times.overhead is None else f"{times.overhead:.1f}",
                f"{times.peak:.0f}",
            ]
        )
    if atoms in TARGETS:
        sheet.caption += f" Target for beyond: at most {TARGETS[atoms]:g} %."
    return sheet


def builds_sheet(results: Results, earlier: Results) -> Sheet:
    """This build of the driver beside an earlier one."""
    sheet = Sheet(
        "This build beside an earlier one",
        ["variant", "atoms", "layout"],
        ["ms", "earlier", "ratio", "of minima"],
        "CPU time of a step, median; ratio: this build over the earlier one, of the medians and of "
        "the shortest steps. Both ran in turn, round after round.",
    )
    for case, before in earlier.items():
        now = results[case]
        sheet.rows.append(
            [
                VARIANTS[case.variant].name,
                f"{case.atoms:,}",
                case.layout,
                digits(now.step),
                digits(before.step),
                f"{now.step / before.step:.3f}",
                f"{min(now.cpu) / min(before.cpu):.3f}",
            ]
        )
    return sheet


def per_atom_sheet(results: Results) -> Sheet:
    """The cost of an atom over the sizes."""
    sizes = sorted({case.atoms for case in results if case.layout == "1x1"})
    sheet = Sheet(
        "Cost of an atom, one core",
        ["variant"],
        [*(f"{atoms:,}" for atoms in sizes), "spread %"],
        "µs of CPU time for each atom. spread: largest over smallest from 1,000 atoms on.",
    )
    for key, variant in VARIANTS.items():
        costs = {
            atoms: 1e3 * results[Case(key, atoms)].step / atoms
            for atoms in sizes
            if Case(key, atoms) in results
        }
        large = [cost for atoms, cost in costs.items() if atoms >= 1000]
        if len(costs) < 2:
            continue
        spread = f"{100 * (max(large) / min(large) - 1):.0f}" if len(large) > 1 else ""
        cells = [digits(costs[atoms]) if atoms in costs else "" for atoms in sizes]
        sheet.rows.append([variant.name, *cells, spread])
    return sheet


def layout_sheet(results: Results) -> Sheet:
    """Ranks and threads."""
    sheet = Sheet(
        "Ranks and threads",
        ["variant", "atoms", "ranks x threads"],
        ["wall ms", "speed-up", "CPU ms", "ghosts", "MiB"],
        "wall: median time of a step by the clock; speed-up: against one rank with one thread. CPU "
        "time, ghosts and memory are those of all ranks. On a machine that others use, the clock "
        "also shows what they take.",
    )
    some = {(case.variant, case.atoms) for case in results if case.layout != "1x1"}
    for case, times in sorted(results.items(), key=lambda item: _order(item[0])):
        if (case.variant, case.atoms) not in some:
            continue
        alone = results.get(Case(case.variant, case.atoms))
        wall = float(np.median(times.wall))
        sheet.rows.append(
            [
                VARIANTS[case.variant].name,
                f"{case.atoms:,}",
                case.layout,
                digits(wall),
                "" if alone is None else f"{np.median(alone.wall) / wall:.2f}",
                digits(times.step),
                f"{times.ghosts:,}",
                f"{times.peak:.0f}",
            ]
        )
    return sheet


def _order(case: Case) -> tuple[int, int, int, int]:
    return list(VARIANTS).index(case.variant), case.atoms, case.ranks, case.threads


def ratio(of: Times | None, to: Times) -> str:
    """Time over time."""
    return "" if of is None else digits(of.step / to.step)


def digits(value: float) -> str:
    """Three digits, without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
