"""The C++ sources include only what lies below them, and the check notices when they do not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CHECK = REPOSITORY / "tests" / "cpp" / "check_includes.py"


def check(repository: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECK), str(repository)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path):
    """A copy of the C++ sources."""
    for folder in ("common", "descriptor", "driver", "python/bindings"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    return tmp_path


def test_all_includes_point_down():
    result = check(REPOSITORY)
    assert result.returncode == 0, result.stdout
    assert "includes point down" in result.stdout


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("common/src/lines.cpp", '"torchml/descriptor/compute.hpp"', "common includes descriptor"),
        ("descriptor/src/soap.cpp", '"spec/elements.hpp"', "descriptor includes core/spec"),
        ("descriptor/src/soap.cpp", "<torch/script.h>", "descriptor includes torch/script.h"),
        ("driver/core/system.hpp", '"graph/shell_graph.hpp"', "core/data includes core/graph"),
        ("driver/core/spec/elements.cpp", '"potential.hpp"', "core/spec includes core "),
        ("driver/core/graph/shell_graph.hpp", '"inputs/inputs.hpp"', "includes core/inputs"),
        ("driver/core/model/extensions.cpp", '"inputs/inputs.hpp"', "includes core/inputs"),
        ("driver/core/potential.cpp", '"KIM_LogVerbosity.hpp"', "core includes KIM_LogVerbosity"),
        ("driver/kim/units.cpp", "<pybind11/pybind11.h>", "kim includes pybind11"),
    ],
)
def test_an_include_turned_round_is_named(tree, source, line, message):
    path = tree / source
    path.write_text(f"#include {line}\n" + path.read_text())
    result = check(tree)
    assert result.returncode == 1
    assert result.stdout.startswith(f"{source}:1: ")
    assert message in result.stdout
    assert len(result.stdout.splitlines()) == 1


def test_an_empty_tree_does_not_pass(tmp_path):
    assert check(tmp_path).returncode == 1
