"""Tables that can be printed and written in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from common.reports import new_table


@dataclass
class Sheet:
    """A table of texts: the first columns are words, the others numbers."""

    title: str
    words: Sequence[str]
    figures: Sequence[str]
    caption: str
    rows: list[Sequence[str]] = field(default_factory=list)

    def table(self) -> Table:
        """Return the table for printing."""
        table = new_table(self.title, self.words, self.figures, self.caption)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """Return heading, table and caption in Markdown."""
        lines = [
            f"### {self.title}",
            "",
            _row([*self.words, *self.figures]),
            _row(["---"] * len(self.words) + ["---:"] * len(self.figures)),
            *(_row(row) for row in self.rows),
            "",
            self.caption,
        ]
        return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def write_markdown(
    head: str, sheets: Sequence[Sheet], path: Path, *, marks: str = "tables"
) -> None:
    """Write all tables below a line of introduction; write, then rename.

    If the file has the marks `<!-- tables -->` and `<!-- end of tables -->`, or those of another
    name, only the text between them is replaced.
    """
    begin, end = f"<!-- {marks} -->", f"<!-- end of {marks} -->"
    text = "\n".join([head + "\n", *(sheet.markdown() for sheet in sheets)])
    page = path.read_text() if path.exists() else ""
    if begin in page and end in page:
        before, rest = page.split(begin, 1)
        text = f"{before}{begin}\n{text}{end}{rest.split(end, 1)[1]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    temporary.replace(path)
