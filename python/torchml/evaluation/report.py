"""One HTML page about the errors of a data set."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np
from ase import units
from ase.data import chemical_symbols

from torchml.evaluation.drawing import MOST_ATOMS, draw_structure
from torchml.evaluation.evaluate_json import Origin
from torchml.evaluation.evaluate_summary import Summary, Worst
from torchml.evaluation.metrics_distributions import MOST_POINTS
from torchml.evaluation.metrics_sums import Sums
from torchml.evaluation.metrics_table import DEFINITIONS, columns_of_groups, in_order, unit_of
from torchml.evaluation.page import (
    card,
    cell,
    figure_card,
    grid,
    key_figures,
    made_with,
    table,
    write_page,
)
from torchml.evaluation.report_figures import (
    histogram_figure,
    occupied,
    parity_figure,
    strip_axis,
    strip_figure,
)

# Quantities of parity plots and histograms: title, unit, factor to it, and their metrics.
_QUANTITIES: dict[str, tuple[str, str, float, tuple[str, str]]] = {
    "distance": ("Mean distance of free atoms", "Å", 1.0, ("distance", "positions_mae")),
    "energy": ("Energy", "eV/atom", 1.0, ("energy_per_atom_mae", "energy_per_atom_rmse")),
    "forces": ("Force components", "eV/Å", 1.0, ("forces_mae", "forces_rmse")),
    "stress": ("Stress components", "GPa", 1 / units.GPa, ("stress_mae", "stress_rmse")),
}
_KEY = {
    "s2ef": ("energy_per_atom_mae", "forces_mae", "stress_mae", "forces_cosine", "efwt"),
    "is2re": ("energy_mae", "energy_rmse", "ewt"),
    "is2rs": ("adwt", "adwt_minimum_image", "distance", "energy_mae", "afbt"),
}
_WORST = {
    "energy": ("Largest energy errors", "meV/atom", 1e3),
    "forces": ("Largest force errors", "eV/Å on one atom", 1.0),
    "distance": ("Largest distances", "Å, mean of the free atoms", 1.0),
}
_NAMES = {
    "s2ef": "structure to energy and forces (S2EF)",
    "is2re": "initial structure to relaxed energy (IS2RE)",
    "is2rs": "initial structure to relaxed structure (IS2RS)",
}
_SHARES = {"ewt": "EwT", "efwt": "EFwT", "adwt": "ADwT", "fbt": "FbT", "afbt": "AFbT"}
# Of the largest errors, so many are drawn of each quantity.
_DRAWN = 3


def write_report(
    summary: Summary, origin: Origin, path: str | Path, title: str | None = None
) -> None:
    """Write a page with metrics, parity plots, distributions and the worst structures.

    Args:
        summary: the errors.
        origin: of predictions and labels.
        path: of the HTML file, which is replaced.
        title: of the page; by default the names of model and data.
    """
    write_page(
        path,
        title or _default_title(origin),
        _introduction(summary),
        _sections(summary),
        _facts(summary, origin),
    )


def _default_title(origin: Origin) -> str:
    data = ", ".join(Path(path).name for path in origin.data)
    return f"{Path(origin.predictions).name} on {data}"


def _introduction(summary: Summary) -> str:
    atoms = "free atoms only" if summary.free_atoms_only else "fixed atoms included"
    lines = [
        f'<p class="soft">{summary.structures:,} structures, {summary.atoms:,} atoms · '
        f"{_NAMES[summary.task]} · {atoms}</p>"
    ]
    if summary.notice:
        lines.append(f"<p>{summary.notice}</p>")
    return "\n".join([*lines, _key_figures(summary)])


def _facts(summary: Summary, origin: Origin) -> dict[str, str]:
    labels = ", ".join(f"{n:,} {name}" for name, n in summary.labels.items() if n)
    return {
        "predictions": origin.predictions,
        "data": ", ".join(origin.data),
        "labels": labels,
        **origin.facts,
        **made_with(origin.versions),
    }


def _sections(summary: Summary) -> Iterator[tuple[str, str, str]]:
    """Id, heading and body of each section; empty ones are left out."""
    yield "parity", "Predictions and labels", _parity(summary)
    yield "errors", "Distribution of errors", _histograms(summary)
    yield "elements", "By element", _elements(summary)
    yield "groups", "By group", _groups(summary)
    yield "worst", "Largest errors", _worst_structures(summary)
    yield "metrics", "All metrics", _all_metrics(summary.sums)


def _key_figures(summary: Summary) -> str:
    metrics = summary.metrics
    cards = []
    for name in _KEY[summary.task]:
        if name in metrics:
            cards.append(card(_heading(name), *_value(name, metrics[name])))
    return key_figures(cards)


# --- Figures -------------------------------------------------------------------------------------


def _parity(summary: Summary) -> str:
    figures = []
    for quantity, parity in summary.parity.items():
        if not len(parity):
            continue
        title, unit, factor, names = _QUANTITIES[quantity]
        figure, outside = parity_figure(
            parity, factor, unit, f"{title}: predictions over labels, {len(parity):,} points"
        )
        shown = f"{len(parity):,} points"
        if len(parity) > MOST_POINTS:
            shown += "; the stronger the colour of a cell, the more points (logarithmic)"
        if outside:
            shown += f"; {outside:,} of them outside of the figure"
        caption = [_named(name, summary.metrics) for name in names if name in summary.metrics]
        figures.append(figure_card(title, figure, [", ".join(caption), shown]))
    return grid(figures)


def _histograms(summary: Summary) -> str:
    figures = []
    for quantity, (title, unit, factor, _) in _QUANTITIES.items():
        errors = summary.errors.get(quantity)
        if errors is None or not errors.counts.sum():
            continue
        if quantity == "energy":
            unit, factor = "meV/atom", 1e3
        text = f"{title}: distribution of {errors.counts.sum():,} absolute errors"
        half, most = (_two_digits(errors.quantile(share) * factor) for share in (0.5, 0.95))
        caption = f"50% of the errors are below {half} {unit}, 95% below {most} {unit}"
        figures.append(figure_card(title, histogram_figure(errors, factor, unit, text), [caption]))
    return grid(figures)


# --- Tables --------------------------------------------------------------------------------------


def _elements(summary: Summary) -> str:
    histograms = summary.errors_of_elements
    if not histograms:
        return ""
    name = "distance" if summary.task == "is2rs" else "forces_difference"
    what = "distance" if summary.task == "is2rs" else "length of the force difference"
    unit, factor = unit_of(name)
    begin, end = occupied(*histograms.values())
    rows = []
    for symbol in sorted(histograms, key=chemical_symbols.index):
        errors = histograms[symbol]
        mean = summary.elements[symbol].values()[name]
        strip = strip_figure(errors, begin, end, f"distribution of the errors of {symbol}")
        cells = [
            cell(symbol, kind="name"),
            cell(f"{errors.counts.sum():,}", "atoms"),
            cell(_value(name, mean)[0], f"mean, {unit}"),
            cell(_two_digits(errors.quantile(0.95) * factor), f"95 % below, {unit}"),
            cell(strip, kind="full"),
        ]
        rows.append("".join(cells))
    axis = strip_axis(begin, end, factor, unit)
    rows.append(f'<td class="name"></td><td></td><td></td><td></td>{cell(axis, kind="full")}')
    heads = ["element", "atoms", f"mean<br>{unit}", f"95 % below<br>{unit}", "distribution"]
    return (
        f"<p>{what.capitalize()} of each atom, {unit}; all strips have the same logarithmic "
        f"axis.</p>{table(heads, rows)}"
    )


def _groups(summary: Summary) -> str:
    if not summary.groups:
        return ""
    groups = {name: sums.values() for name, sums in sorted(summary.groups.items())}
    columns = {name: _heading(name) for name in columns_of_groups(groups)}
    largest = {
        name: max(errors.get(name, -np.inf) for errors in groups.values()) for name in columns
    }
    rows = []
    for group, errors in groups.items():
        number = summary.structures_of_groups[group]
        cells = [cell(escape(group), kind="name"), cell(f"{number:,}", "structures")]
        for name, heading in columns.items():
            value, unit = _value(name, errors.get(name, float("nan")))
            is_worst = len(groups) > 1 and errors.get(name) == largest[name] and "adwt" not in name
            cells.append(cell(value, f"{heading}, {unit}", "high" if is_worst else ""))
        rows.append("".join(cells))
    heads = [f"{heading}<br>{unit_of(name)[0]}" for name, heading in columns.items()]
    return table(["group", "structures", *heads], rows)


def _all_metrics(sums: Sums) -> str:
    values = sums.values()
    rows = []
    for name in in_order(values):
        value, unit = _value(name, values[name])
        rows.append(
            cell(name, kind="name text")
            + cell(f"{value} {unit}")
            + cell(f"{sums.counts[name]:,}", "of")
            + cell(escape(DEFINITIONS.get(name, "")), kind="text full soft small")
        )
    return table(["metric", "value", "errors", ""], rows)


# --- The worst structures ------------------------------------------------------------------------


def _worst_structures(summary: Summary) -> str:
    parts = []
    for quantity, (heading, unit, factor) in _WORST.items():
        entries = summary.worst.get(quantity, [])[:_DRAWN]
        if entries:
            cards = [
                _worst_card(entry, f"{entry.error * factor:.3g} {unit}", summary)
                for entry in entries
            ]
            parts.append(f"<h3>{heading}</h3>{grid(cards)}<br>")
    if not parts:
        return ""
    return (
        "<p>Left: elements, in the colours of ASE. Right, where forces or positions are compared: "
        'the error of each atom, from 0 <span class="scale"></span> to the largest of the '
        "structure, whose atom is named; grey atoms do not count.</p>" + "".join(parts)
    )


def _worst_card(worst: Worst, error: str, summary: Summary) -> str:
    c = worst.configuration
    symbols, counts = np.unique(c.numbers, return_counts=True)
    formula = "".join(
        f"{chemical_symbols[z]}<sub>{n}</sub>" if n > 1 else chemical_symbols[z]
        for z, n in zip(symbols.tolist(), counts.tolist(), strict=True)
    )
    facts = {"atoms": f"{len(c):,}"}
    if worst.energy_error is not None:
        facts["energy error"] = f"{_signed(worst.energy_error)} eV"
    has_errors = worst.of_atoms is not None and not np.isnan(worst.of_atoms).all()
    if worst.of_atoms is not None and has_errors:
        atom = int(np.nanargmax(worst.of_atoms))
        unit = "Å" if summary.task == "is2rs" else "eV/Å"
        where = f"atom {atom} ({chemical_symbols[c.numbers[atom]]})"
        facts[where] = f"{worst.of_atoms[atom]:.3g} {unit}"
    facts |= {name: value for name, value in (("id", c.sid), ("group", c.group)) if value}
    if len(c) > MOST_ATOMS:
        facts["drawn"] = f"{MOST_ATOMS:,} atoms around it"
    picture = base64.b64encode(draw_structure(c, worst.of_atoms if has_errors else None)).decode()
    rows = "".join(f"<dt>{k}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items())
    alt = f"drawing of {c.name}, and the error of each of its atoms"
    return (
        f'<figure class="card"><h3>{error}</h3>'
        f'<img class="plate" alt="{escape(alt)}" src="data:image/png;base64,{picture}">'
        f"<figcaption>{formula} · {escape(c.name)}</figcaption><dl>{rows}</dl></figure>"
    )


# --- Texts ---------------------------------------------------------------------------------------


def _value(name: str, value: float) -> tuple[str, str]:
    """A metric in its usual unit."""
    unit, factor = unit_of(name)
    if value != value:
        return "–", unit
    # Three digits of what a cosine lacks to 1, and of everything else.
    return f"{value:.4f}" if name == "forces_cosine" else f"{value * factor:.3g}", unit


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")


def _heading(name: str) -> str:
    for share, text in _SHARES.items():
        if name == share or name.startswith(f"{share}_"):
            return text + name.removeprefix(share).replace("_", " ")
    quantity, _, kind = name.rpartition("_")
    if kind not in ("mae", "mse", "rmse"):
        return name.replace("_", " ").capitalize()
    return f"{quantity.removesuffix('_per_atom').replace('_', ' ').capitalize()} {kind.upper()}"


def _named(name: str, metrics: dict[str, float]) -> str:
    value, unit = _value(name, metrics[name])
    kind = name.rpartition("_")[2]
    return f"{kind.upper() if kind in ('mae', 'rmse') else 'mean'} {value} {unit}"


def _two_digits(value: float) -> str:
    """A number with two digits and without exponent, unless it is tiny."""
    return f"{float(f'{value:.2g}'):,.0f}" if abs(value) >= 10 else f"{value:.2g}"
