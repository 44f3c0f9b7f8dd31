"""Every `torchml....` name and every command in the documentation exists."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from torchml.cli import main

ROOT = Path(__file__).parents[3]
TEXTS = [
    page.read_text()
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
]


def named(name: str) -> Any:
    """The module, class or attribute of a dotted name."""
    module, *rest = name.split(".")
    found = import_module(module)
    for part in rest:
        module += f".{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            found = import_module(module)
    return found


def test_names_can_be_imported() -> None:
    names = {name for text in TEXTS for name in re.findall(r"`(torchml(?:\.\w+)+)", text)}
    assert len(names) > 10
    for name in sorted(names):
        named(name)


def test_commands_exist(capsys) -> None:
    words = {word for text in TEXTS for word in re.findall(r"\btorchml ([a-z]+) [\w-]", text)}
    commands = words & {
        "fit",
        "validate",
        "test",
        "predict",
        "submit",
        "export",
        "evaluate",
        "check",
        "inspect",
    }
    assert {"fit", "test", "check", "inspect", "submit"} <= commands
    for command in sorted(commands - {"fit", "validate", "test", "predict", "submit"}):
        try:
            main([command, "--help"])
        except SystemExit as stop:
            assert stop.code == 0
        assert command in capsys.readouterr().out
