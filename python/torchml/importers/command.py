"""`torchml importers`: packages whose models can be brought, and which are installed."""

from __future__ import annotations

import argparse
import json
import subprocess
from typing import Any

from torchml.importers.adapters import FOLDER, adapters

_EPILOG = """\
A model is read by its own package, here or in another environment. To make one:
  python -m venv DIR
  DIR/bin/pip install REQUIREMENTS
  python -m torchml_export MODEL --from KIND --python DIR/bin/python

A model of your own, or of a package that is not in the table, comes in with a function of five
lines: --from FILE.py:function (docs/importers.md).
"""
_WAYS = {
    "network": "weights into a network of TorchML",
    "graph": "its own code, traced",
    "refused": "refused",
}


def texts() -> dict[str, Any]:
    """Return the texts of the parser of the command."""
    return {
        "description": "List the packages whose models can be brought (--from KIND), with the "
        "version that is installed.",
        "epilog": _EPILOG,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "--python", metavar="EXE", help="Python of another environment (default: this one)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the table; returns the exit status."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from torchml.importers.foreign import executable

    python = executable(options.python)
    found = _versions(python)
    table = Table(title=Text(f"--from KIND, in {python}"), title_justify="left")
    for name in ("kind", "version", "reads", "way", "requirements"):
        table.add_column(name, no_wrap=name == "kind", overflow="fold")
    for adapter in adapters().values():
        version = found[adapter.module]
        style = "green" if version else "yellow"
        table.add_row(
            adapter.kind,
            Text(version or "not installed", style=style),
            Text(adapter.reads),
            _WAYS[adapter.way],
            Text(" ".join(adapter.install)),
        )
    console = Console()
    console.print(table)
    console.print(_EPILOG, markup=False, highlight=False)
    return 0


def _versions(python: str) -> dict[str, str | None]:
    """Versions by module, asked of the environment itself."""
    from torchml.errors import FileError

    modules = [adapter.module for adapter in adapters().values()]
    done = subprocess.run(
        [python, FOLDER / "versions.py", *modules], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise FileError(f"{python} cannot be asked for its packages ({lines[-1]})")
    versions: dict[str, str | None] = json.loads(done.stdout)
    return versions
