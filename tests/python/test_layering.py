"""Imports between the sub-packages point down, and a wrong one is named by its line."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """`lint-imports` on the packages and the contracts of a source tree."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(
        [*command, str(root / "pyproject.toml")],
        env={**os.environ, "PYTHONPATH": str(root / "python"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_imports_point_down() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        pytest.param(
            "contract/metadata",
            "import torchml.training.cli",
            "torchml.contract.metadata -> torchml.training.cli (l.{number})",
            id="upward",
        ),
        pytest.param(
            "data/labels",
            "def late(): from torchml.export import pipeline",
            "torchml.data.labels -> torchml.export.pipeline (l.{number})",
            id="upward in a function",
        ),
        pytest.param(
            "models/radial",
            "from torchml.models import schnet",
            "No cycles are allowed in torchml.models.",
            id="circle",
        ),
    ],
)
def test_an_import_that_is_turned_round_is_named(
    tmp_path: Path, module: str, line: str, complaint: str
) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "python", tmp_path / "python", ignore=ignored)
    file = tmp_path / "python" / "torchml" / f"{module}.py"
    text = file.read_text()
    file.write_text(f"{text}\n{line}\n")
    number = len(text.splitlines()) + 2
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert complaint.format(number=number) in done.stdout


def test_modules_do_not_import_the_public_names_of_the_package() -> None:
    """Public names load modules of all layers; the engine (`_core`) is below them all."""
    allowed = {"_core", "_descriptors", "kim"}
    for file in sorted((ROOT / "python" / "torchml").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "torchml" and not node.level:
                wrong = {name.name for name in node.names} - allowed
                place = f"{file.relative_to(ROOT)}:{node.lineno}"
                assert not wrong, f"{place} imports {wrong.pop()} of torchml, expected its module"
