"""The table of an examination."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from torchml.reference.agreement import Check

_SHOWN = {"pass": "[green]pass[/]", "warn": "[yellow]warn[/]", "fail": "[bold red]FAIL[/]"}
_ORDER = ("pass", "warn", "fail")


@dataclass(frozen=True)
class Row:
    """One kind of check, on all structures.

    Attributes:
        name: of the check.
        good: structures on which it passed.
        number: of structures.
        worst: the check of the worst structure.
    """

    name: str
    good: int
    number: int
    worst: Check

    @property
    def difference(self) -> str:
        """The largest difference, for checks that have one."""
        if self.worst.difference is None:
            return "error" if self.worst.verdict == "fail" and not self.worst.tolerance else ""
        return f"{self.worst.difference:.1e}"

    @property
    def limit(self) -> str:
        """The largest difference that passes."""
        return "" if self.worst.tolerance is None else f"{self.worst.tolerance:.0e}"


def rows(checks: Sequence[Check]) -> list[Row]:
    """Return a row for each kind of check, with its worst structure."""
    found = []
    for name in dict.fromkeys(check.name for check in checks):
        group = [check for check in checks if check.name == name]
        good = sum(check.passed for check in group)
        found.append(Row(name, good, len(group), max(group, key=_badness)))
    return found


def reasons(checks: Sequence[Check]) -> Iterator[tuple[str, str]]:
    """Yield verdict and sentence of what did not pass, once for all structures with one reason."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for check in checks:
        if not check.passed:
            key = (check.verdict, check.name, check.detail)
            found.setdefault(key, []).append(check.structure)
    for (verdict, name, reason), structures in found.items():
        where = f" on {', '.join(structures)}" if any(structures) else ""
        yield verdict, f"{name}{where}: {reason}"


def print_report(console: Console, title: str, checks: Sequence[Check]) -> None:
    """Print a row for each kind of check with its worst structure, then what did not pass."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("check", no_wrap=True)
    for column in ("good", "worst", "limit"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("on", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for row in rows(checks):
        table.add_row(
            row.name,
            f"{row.good}/{row.number}",
            row.difference,
            row.limit,
            Text(row.worst.structure),
            _SHOWN[row.worst.verdict],
        )
    console.print(table)
    for verdict, sentence in reasons(checks):
        style = "red" if verdict == "fail" else "yellow"
        console.print(sentence, style=style, markup=False, highlight=False)


def _badness(check: Check) -> tuple[int, float]:
    """Failures come last, errors after all differences."""
    unknown = math.inf if check.verdict == "fail" else 0.0
    return _ORDER.index(check.verdict), unknown if check.difference is None else check.difference
