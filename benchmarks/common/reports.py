"""Tables, progress, and JSON files of results."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

OUTPUT = Path("demo-output/benchmarks")


def machine() -> dict[str, Any]:
    """Return the machine and its load in the last minute."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load": round(os.getloadavg()[0], 2),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write, then rename, so that the file is always complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(temporary, path)


def progress_bar(console: Console) -> Progress:
    """Return a progress bar that is removed at the end."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def new_table(title: str, words: Sequence[str], figures: Sequence[str], caption: str) -> Table:
    """A table that fits 80 columns: words to the left, figures to the right."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.caption = caption
    table.caption_justify = "left"
    for name in words:
        table.add_column(name, no_wrap=True)
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table
