"""Findings and their table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Finding:
    """One check on one structure: a figure that must not exceed its tolerance, or an error."""

    check: str
    structure: str
    figure: float
    tolerance: float
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether the check holds."""
        return not self.error and self.figure <= self.tolerance


def failure(check: str, structure: str, error: Exception | str) -> Finding:
    """Return the finding of a check that raised an error."""
    text = " ".join(str(error).split())
    return Finding(check, structure, math.inf, 0.0, text or type(error).__name__)


def print_report(console: Console, title: str, findings: Sequence[Finding]) -> None:
    """Print one row per check with its worst figure, then the reason of each failure."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("check", no_wrap=True)
    for column in ("good", "worst", "limit"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("on", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for check in dict.fromkeys(finding.check for finding in findings):
        group = [finding for finding in findings if finding.check == check]
        good = sum(finding.passed for finding in group)
        worst = max(group, key=lambda finding: (not finding.passed, finding.figure))
        table.add_row(
            check,
            f"{good}/{len(group)}",
            "error" if worst.error else f"{worst.figure:.1e}",
            "" if worst.error else f"{worst.tolerance:.0e}",
            Text(worst.structure),
            "[green]pass[/]" if good == len(group) else "[bold red]FAIL[/]",
        )
    console.print(table)
    reasons: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        if not finding.passed:
            reason = finding.error or f"{finding.figure:.3e} exceeds {finding.tolerance:.0e}"
            reasons.setdefault((finding.check, reason), []).append(finding.structure)
    for (check, reason), structures in reasons.items():
        where = f" on {', '.join(structures)}" if any(structures) else ""
        console.print(f"{check}{where}: {reason}", style="red", markup=False, highlight=False)
