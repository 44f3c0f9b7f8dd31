"""One HTML page about an examination: the table, what did not pass, and the curves."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from torchml.evaluation.page import (
    Section,
    card,
    cell,
    figure_card,
    grid,
    key_figures,
    made_with,
    table,
    write_page,
)
from torchml.reference.physics.curves import Curve
from torchml.validation.curve_figures import curve_figure
from torchml.validation.report import reasons, rows
from torchml.validation.results import Examination, versions

_KINDS = {"pass": "pass", "warn": "", "fail": "high"}


def write_html(found: Examination, path: str | Path) -> None:
    """Write the page.

    Args:
        found: the examination.
        path: of the HTML file, which is replaced.
    """
    facts = {**found.facts, "device": found.device, "depth": found.depth}
    facts |= {"time": f"{found.seconds:.0f} s", **made_with(versions())}
    title = f"{found.model}: {'failed' if found.failures else 'passed'}"
    write_page(path, title, _introduction(found), _sections(found), facts)


def _introduction(found: Examination) -> str:
    verdicts = [check.verdict for check in found.checks]
    interfaces = {check.name.split(":")[0] for check in found.checks if ":" in check.name}
    cards = [
        card("checks that passed", f"{verdicts.count('pass'):,}", f"of {len(verdicts):,}"),
        card("failed", f"{verdicts.count('fail'):,}", ""),
        card("warnings", f"{verdicts.count('warn'):,}", ""),
        card("interfaces", f"{len(interfaces):,}", "against the C++ core"),
    ]
    return '<p class="soft">The C++ core is the code of the model driver.</p>' + key_figures(cards)


def _sections(found: Examination) -> Iterator[Section]:
    sentences = [
        f'<p class="{"high" if verdict == "fail" else "soft"}">{escape(sentence)}</p>'
        for verdict, sentence in reasons(found.checks)
    ]
    notes = [f"<p>{escape(note)}</p>" for note in found.notes]
    yield "reasons", "What did not pass", "".join(sentences)
    yield "checks", "Checks", _checks(found)
    yield "curves", "Curves", grid([_curve(curve) for curve in found.curves])
    results = [
        cell(escape(name), kind="name text") + cell(escape(text), kind="text full")
        for name, text in found.figures.items()
    ]
    yield "figures", "Figures", table(["", ""], results) if results else ""
    yield "notes", "Left out", "".join(notes)


def _checks(found: Examination) -> str:
    lines = [
        cell(escape(row.name), kind="name text")
        + cell(f"{row.good}/{row.number}", "structures")
        + cell(row.difference, "largest difference")
        + cell(row.limit, "limit")
        + cell(escape(row.worst.structure), "on", "text")
        + cell(row.worst.verdict, "verdict", _KINDS[row.worst.verdict])
        for row in rows(found.checks)
    ]
    return table(["check", "structures", "largest difference", "limit", "on", "verdict"], lines)


def _curve(curve: Curve) -> str:
    places = ", ".join(f"{jump.place:.4g}" for jump in curve.jumps[:5])
    caption = f"jumps at {places}" if curve.jumps else ""
    title = f"{curve.kind.capitalize()}, {curve.name}"
    return figure_card(escape(title), curve_figure(curve), [caption])
