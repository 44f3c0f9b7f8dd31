"""The table of a validation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from torchml.reference.agreement import Check


def print_report(console: Console, title: str, checks: Sequence[Check]) -> None:
    """Print a row for each kind of check with its worst structure, then the reasons of failures."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("check", no_wrap=True)
    for column in ("good", "worst", "limit"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("on", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for name in dict.fromkeys(check.name for check in checks):
        group = [check for check in checks if check.name == name]
        good = sum(check.passed for check in group)
        worst = max(group, key=_badness)
        table.add_row(
            name,
            f"{good}/{len(group)}",
            "error" if worst.difference is None else f"{worst.difference:.1e}",
            "" if worst.tolerance is None else f"{worst.tolerance:.0e}",
            Text(worst.structure),
            "[green]pass[/]" if good == len(group) else "[bold red]FAIL[/]",
        )
    console.print(table)
    reasons: dict[tuple[str, str], list[str]] = {}
    for check in checks:
        if not check.passed:
            reasons.setdefault((check.name, check.detail), []).append(check.structure)
    for (name, reason), structures in reasons.items():
        where = f" on {', '.join(structures)}" if any(structures) else ""
        console.print(f"{name}{where}: {reason}", style="red", markup=False, highlight=False)


def _badness(check: Check) -> tuple[bool, float]:
    """Failures come last, errors after all differences."""
    return not check.passed, math.inf if check.difference is None else check.difference
